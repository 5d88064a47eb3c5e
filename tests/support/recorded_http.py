"""The recordings of the extension's management API, and the hub as it was at the time of each request."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from taskhub.codec.history_rows import decode_event, offloaded_columns
from taskhub.codec.instance_rows import decode_instance
from taskhub.errors import InstanceExists
from taskhub.host import routes
from taskhub.model import history
from taskhub.model.entities import EntityPage
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter, InstancePage, InstanceState, RuntimeStatus
from taskhub.runtime.entity_directory import _state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.model.entities import EntityId, EntityState
    from taskhub.model.history import HistoryEvent

EXTENSION = Path(__file__).parents[1] / "golden" / "extension"
WEBHOOK = "http://localhost:17072/runtime/webhooks/durabletask"
RPC = "http://127.0.0.1:17071/durabletask"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One recorded request and its answer."""

    number: int
    at: str
    """When it was answered."""
    method: str
    url: str
    request_headers: dict[str, str]
    request: str | None
    status: int
    headers: dict[str, str]
    response: str

    @property
    def before(self) -> str:
        """A time at which the request had not changed anything yet, and the wait before it was over."""
        took = timedelta(milliseconds=200 if self.path.startswith("/orchestrators") else 30)
        return Utc.parse(self.at).plus(-took)

    @property
    def path(self) -> str:
        """Below the door."""
        return self.url.removeprefix(WEBHOOK).removeprefix(RPC)

    def __str__(self) -> str:
        return f"{self.number} {self.method} {self.path[:60]}"

    def as_request(self) -> routes.Request:
        """Return what the server makes of it."""
        parts = urlsplit(self.url)
        path = parts.path.removeprefix("/runtime/webhooks/durabletask").removeprefix("/durabletask")
        return routes.Request(
            method=self.method,
            origin=f"{parts.scheme}://{parts.netloc}",
            path=path,
            query=parts.query,
            url=self.url,
            headers={name.lower(): value for name, value in self.request_headers.items()},
            body=(self.request or "").encode(),
        )


def exchanges(scenario: str) -> list[Exchange]:
    """Return the exchanges of a scenario in order."""
    lines = (EXTENSION / scenario / "http.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    return [Exchange(number, **item) for number, item in enumerate(items) if "method" in item]


def settings_of(scenario: str) -> dict[str, Any]:
    """Return ``scenario.json``."""
    loaded: dict[str, Any] = json.loads((EXTENSION / scenario / "scenario.json").read_text(encoding="utf-8"))
    return loaded


class RecordedHub:
    """Stands in for the client of a hub whose state at any time is known from what the recording left in storage.

    The status of an instance at a time is what its events up to then say, which is how the reference got it too.
    Changes that are asked for are only noted: their effect is in the recording.
    """

    def __init__(self, scenario: str) -> None:
        left = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))
        tables, blobs = left["tables"], left["blobs"]
        self._rows = {
            row["PartitionKey"]: decode_instance(row["PartitionKey"], _columns(row)) for row in tables["Instances"]
        }
        self._events: dict[str, list[HistoryEvent]] = {}
        for row in tables["History"]:
            if row["RowKey"] != "sentinel":
                columns = _columns(row)
                # Of large values the recording holds the beginning, which is enough where nobody shows them.
                large = {
                    column: blobs[f"largemessages/{name}"]["text"]
                    for column, name in offloaded_columns(columns).items()
                }
                self._events.setdefault(row["PartitionKey"], []).append(decode_event(columns, large))
        self.at = self.until = "9999"
        self.noted: list[tuple[Any, ...]] = []
        self.started: list[dict[str, Any]] = []
        self.waits: list[tuple[float, float]] = []
        self.next_id = ""

    async def get(self, instance_id: InstanceId, *, with_input: bool = True) -> InstanceState | None:
        """Return the state at ``self.at``."""
        final = self._rows.get(instance_id)
        if final is None or (final.created or "") > self.at:
            return None
        events = [event for event in self._events.get(instance_id, []) if event.timestamp <= self.at]
        state = replace(final, **_seen(events, final))
        return state if with_input else replace(state, input=None)

    def created(self, instance_id: str) -> str | None:
        """Return when an instance was created, the last one of its id."""
        row = self._rows.get(instance_id)
        return None if row is None else row.created

    async def wait(
        self, instance_id: InstanceId, *, timeout_seconds: float, poll_seconds: float
    ) -> InstanceState | None:
        """Return the state at ``self.until``, when the wait was over; note how it was asked for."""
        self.waits.append((timeout_seconds, poll_seconds))
        self.at = self.until
        return await self.get(instance_id)

    async def history(self, instance_id: InstanceId) -> Sequence[HistoryEvent]:
        """Return the events up to ``self.at``."""
        return [event for event in self._events[instance_id] if event.timestamp <= self.at]

    async def query(self, wanted: InstanceFilter, *, top: int, token: str | None, with_input: bool) -> InstancePage:
        """Return a page as the instances table gives it; tokens are base64 of the next id, as the emulator's."""
        import base64

        names = sorted(self._rows)
        first = "" if token is None else base64.b64decode(token + "==", validate=False).decode("latin-1")
        found = [
            state
            for name in names
            if name >= first
            and (state := await self.get(InstanceId(name), with_input=with_input)) is not None
            and _takes(wanted, state)
        ]
        more = base64.b64encode(found[top].instance_id.encode()).decode() if len(found) > top else None
        return InstancePage(found[:top], more)

    async def start(self, name: str, *, instance_id: InstanceId | None = None, **more: Any) -> InstanceId:
        """Note a start; refuse it when a live instance has the id."""
        if instance_id is not None:
            state = await self.get(instance_id)
            if state is not None and state.status is not None and not state.status.is_terminal:
                raise InstanceExists(instance_id, state.status)
        self.started.append({"name": name, "instance_id": instance_id, **more})
        return instance_id or InstanceId(self.next_id)

    async def raise_event(self, *arguments: Any) -> None:
        """Note it."""
        self.noted.append(("raise_event", *arguments))

    async def terminate(self, *arguments: Any) -> None:
        """Note it."""
        self.noted.append(("terminate", *arguments))

    async def suspend(self, *arguments: Any) -> None:
        """Note it."""
        self.noted.append(("suspend", *arguments))

    async def resume(self, *arguments: Any) -> None:
        """Note it."""
        self.noted.append(("resume", *arguments))

    async def signal_entity(self, *arguments: Any, trace: object = None) -> None:
        """Note it."""
        self.noted.append(("signal_entity", *arguments))

    async def read_entity(self, entity: EntityId) -> EntityState | None:
        """Return an entity as the recording left it."""
        row = self._rows.get(entity.instance_id)
        return None if row is None else _state_of(row, with_state=True)

    async def list_entities(self, name: str | None, *, with_state: bool, **_: Any) -> EntityPage:
        """Return the entities of a name as the recording left them, all on one page."""
        rows = [row for key, row in sorted(self._rows.items()) if key.startswith(f"@{name}@")]
        found = [_state_of(row, with_state=with_state) for row in rows]
        return EntityPage(tuple(each for each in found if each is not None and each.exists), None)

    async def purge(self, instance_id: InstanceId) -> int:
        """Note it."""
        self.noted.append(("purge", instance_id))
        return 1


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    times = {name.removesuffix("@odata.type") for name, value in row.items() if value == "Edm.DateTime"}
    return {
        name: Utc.parse(value) if name in times else value
        for name, value in row.items()
        if not name.endswith("@odata.type") and name not in ("PartitionKey", "RowKey")
    }


def _seen(events: list[HistoryEvent], final: InstanceState) -> dict[str, Any]:
    status, output = RuntimeStatus.Pending, None
    for event in events:
        match event:
            case history.OrchestratorStarted() if status is RuntimeStatus.Pending:
                status = RuntimeStatus.Running
            case history.ExecutionSuspended():
                status, output = RuntimeStatus.Suspended, event.reason
            case history.ExecutionResumed():
                status, output = RuntimeStatus.Running, None
            case history.ExecutionCompleted():
                return {"status": event.status, "output": final.output}
    return {"status": status, "output": output}


def _takes(wanted: InstanceFilter, state: InstanceState) -> bool:
    return (
        (not wanted.statuses or state.status in wanted.statuses)
        and (wanted.id_prefix is None or state.instance_id.startswith(wanted.id_prefix))
        and (wanted.created_from is None or (state.created or "") >= wanted.created_from)
        and (wanted.created_to is None or (state.created or "") <= wanted.created_to)
    )


_GUID = re.compile(r"\b[0-9a-f]{32}\b")


def guid_in(text: str) -> str:
    """Return the generated instance id in an answer."""
    found = _GUID.search(text)
    return found[0] if found else ""
