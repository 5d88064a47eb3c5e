"""PURE: the management API: a request becomes a command, what came of it a response.

One set of routes behind two doors: the webhook ``/runtime/webhooks/durabletask`` and the loopback address of the
durable client. The shell (:mod:`taskhub.host.management`) strips the door's path, carries commands out, and asks here
for every decision and every body. The answers are those of ``golden/extension/http_*``, but for the start route: it
checks ids and names, as earlier extensions did, so that a mistake is answered and not stored.

Source: Durable Task extension 3.15, HttpApiHandler.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

from taskhub.host.history_view import history_json
from taskhub.model.entities import EntityId, EntityPage
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import TERMINAL_STATUSES, InstanceFilter, InstancePage, RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.model.entities import EntityState
    from taskhub.model.history import HistoryEvent
    from taskhub.model.instance import InstanceState

WEBHOOK_PATH = "/runtime/webhooks/durabletask"
RPC_PATH = "/durabletask"


def base_for_clients(raw_path: str) -> str | None:
    """Return the path below which the durable client's loopback address has the management API, ``None`` for others."""
    lowered = raw_path.lower()
    return next((base for base in (RPC_PATH, WEBHOOK_PATH) if lowered.startswith(base + "/")), None)


HANDLER_PATH = "/durabletask"
"""Below the route prefix, where the Functions host keeps the webhook's path for itself."""
TOKEN_HEADER = "x-ms-continuation-token"
DEFAULT_PAGE, MAX_PAGE = 100, 1000
"""Rows of a page. A caller who wants more goes on with the token, as storage would make him."""
OPENAPI_ROUTE = "openapi.json"
"""Where the description of this API is; the extension has none."""
MAX_ID_CHARACTERS = 256
"""Of an instance that is started over HTTP."""
_EMPTY_KEY = "$"
"""Stands for the empty key where an entity is read."""
_FIRST_PAGE = "*"
"""Token of a page that begins at the first row; no store makes such a one."""

_NO_TIME = "0001-01-01T00:00:00Z"
_JSON = "application/json; charset=utf-8"
_HEADER_SAFE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_ARGUMENT_ERROR = "One or more of the arguments submitted is incorrect"
_INTERNAL_ERROR = "Something went wrong while processing your request"
_BAD_JSON = "Invalid JSON content"


@dataclass(frozen=True, slots=True)
class Request:
    """What the routes read of an HTTP request."""

    method: str
    origin: str
    """Scheme and authority as the caller wrote them: ``http://localhost:7071``."""
    path: str
    """Below the door's path, still percent-encoded."""
    query: str
    """Raw, without ``?``."""
    url: str
    """As received, for ``Location``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    is_abandoned: Callable[[], bool] = field(default=lambda: False, compare=False)
    """Tells whether the caller is gone, who then need not be waited for."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    status: int
    body: str | None = None
    """JSON text; ``None``: empty, not even a content type."""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content_type(self) -> str | None:
        """Type of the body, ``None`` without one."""
        return None if self.body is None else _JSON


@dataclass(frozen=True, slots=True)
class Target:
    """Which hub a request is about; ``None``: the app's own."""

    hub: str | None = None
    connection: str | None = None
    """Name of a connection setting."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A caller that wants the result rather than a receipt."""

    timeout_seconds: float
    interval_seconds: float


# ---- commands


@dataclass(frozen=True, slots=True)
class Start:
    """R1: start an instance."""

    target: Target
    name: str
    instance_id: InstanceId | None
    input: str | None
    """The body as it came: JSON text."""
    version: str | None
    wait: Wait | None


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """R2: one instance."""

    target: Target
    instance_id: InstanceId
    show_history: bool = False
    show_history_output: bool = False
    show_input: bool = True
    error_on_failure: bool = False
    """Answer 500 for a failed instance."""


@dataclass(frozen=True, slots=True)
class List:
    """R3: a page of instances."""

    target: Target
    filter: InstanceFilter
    top: int
    token: str | None
    show_input: bool


@dataclass(frozen=True, slots=True)
class Purge:
    """R4: remove one instance."""

    target: Target
    instance_id: InstanceId


@dataclass(frozen=True, slots=True)
class PurgeEnded:
    """R5: remove the ended instances of a period."""

    target: Target
    filter: InstanceFilter


@dataclass(frozen=True, slots=True)
class RaiseEvent:
    """R6: an event for an instance."""

    target: Target
    instance_id: InstanceId
    name: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Control:
    """R7, R8, R9: terminate, suspend, resume."""

    target: Target
    instance_id: InstanceId
    operation: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Rewind:
    """R10: let a failed instance do again what failed."""

    target: Target
    instance_id: InstanceId
    reason: str | None


@dataclass(frozen=True, slots=True)
class MakePrimary:
    """R16: let this app work on the hub in place of another."""

    target: Target


@dataclass(frozen=True, slots=True)
class Restart:
    """R11: start an instance anew with its name and input."""

    target: Target
    instance_id: InstanceId
    with_new_id: bool
    wait: Wait | None
    new_id: InstanceId | None = None
    """``None``: a generated one."""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ReadEntity:
    """R12: one entity."""

    target: Target
    entity: EntityId


@dataclass(frozen=True, slots=True)
class ListEntities:
    """R13: a page of entities."""

    target: Target
    name: str | None
    """``None``: of all names."""
    operated_from: Utc | None
    operated_to: Utc | None
    top: int
    token: str | None
    fetch_state: bool


@dataclass(frozen=True, slots=True)
class SignalEntity:
    """R14, R15: an operation for an entity."""

    target: Target
    entity: EntityId
    called: str
    """Its name as the caller wrote it."""
    operation: str
    input: str | None
    """JSON text."""


Command = (
    Start
    | ReadStatus
    | List
    | Purge
    | PurgeEnded
    | RaiseEvent
    | Control
    | Rewind
    | Restart
    | MakePrimary
    | ReadEntity
    | ListEntities
    | SignalEntity
)


# ---- request → command


def parse(request: Request) -> Command | Response:
    """Return what a request asks for, or the refusal when it makes no sense."""
    # The server decodes all but %2F, then the extension decodes a form: what was %2B is a blank by then.
    path = unquote_plus(unquote_plus(request.path)) if "%" in request.path or "+" in request.path else request.path
    segments = path.strip("/").split("/")
    query = Query(request.query)
    found = _ROUTES.get((request.method, segments[0].lower(), len(segments)))
    return found(request, segments, query) if found else NOT_FOUND


def _start(request: Request, segments: Sequence[str], query: Query) -> Command | Response:
    name, instance_id = segments[1], segments[2] if len(segments) > 2 else None
    if instance_id is not None:
        refusal = _refusal_of_id(instance_id)
        if refusal:
            return refusal
    text = None
    if request.body:
        try:
            text = request.body.decode("utf-8-sig")
            json.loads(text)
        except ValueError as error:
            return _long_error(400, _BAD_JSON, _json_error(error), "Newtonsoft.Json.JsonReaderException")
    return Start(
        query.target(),
        name,
        None if instance_id is None else InstanceId(instance_id),
        text,
        query.text("version"),
        query.wait(),
    )


def _refusal_of_id(instance_id: str) -> Response | None:
    reason = None
    if instance_id.startswith("@"):
        reason = "Orchestration instance IDs must not start with @."
    elif re.search(r"[/\\#?\x00-\x1f\x7f-\x9f]", instance_id):
        reason = "Instance IDs must not contain /, \\, #, ?, or control characters."
    elif len(instance_id) > MAX_ID_CHARACTERS:
        reason = (
            f"Instance IDs must not have more than {MAX_ID_CHARACTERS} characters; this one has {len(instance_id)}."
        )
    return None if reason is None else argument_error(f"{reason} (Parameter 'instanceId')")


def _read_status(_: Request, segments: Sequence[str], query: Query) -> Command:
    return ReadStatus(
        query.target(),
        InstanceId(segments[1]),
        show_history=query.boolean("showHistory", default=False),
        show_history_output=query.boolean("showHistoryOutput", default=False),
        show_input=query.boolean("showInput", default=True),
        error_on_failure=query.boolean("returnInternalServerErrorOnFailure", default=False),
    )


def _list(request: Request, _: Sequence[str], query: Query) -> Command | Response:
    chosen = InstanceFilter(
        created_from=query.time("createdTimeFrom"),
        created_to=query.time("createdTimeTo"),
        statuses=query.statuses("runtimeStatus"),
        id_prefix=query.text("instanceIdPrefix") or None,
    )
    top = query.integer("top", default=DEFAULT_PAGE)
    if top < 0:
        return _long_error(500, _INTERNAL_ERROR, f"top is {top}; it must not be negative.", "System.ArgumentException")
    # Without another filter the extension reads whole rows, inputs and all.
    show_input = query.boolean("showInput", default=True) or chosen == InstanceFilter()
    token = unquote(request.headers.get(TOKEN_HEADER, "")) or None
    return List(query.target(), chosen, min(top, MAX_PAGE), None if token == _FIRST_PAGE else token, show_input)


def _purge(_: Request, segments: Sequence[str], query: Query) -> Command:
    return Purge(query.target(), InstanceId(segments[1]))


def _purge_ended(_: Request, __: Sequence[str], query: Query) -> Command | Response:
    created_from = query.time("createdTimeFrom")
    if created_from is None:
        return Response(400, _compact("Please provide value for 'createdTimeFrom' parameter."))
    statuses = TERMINAL_STATUSES
    if (query.text("runtimeStatus") or "").strip():
        # With nothing but statuses of live instances the reference removes everything, running instances too.
        statuses = query.statuses("runtimeStatus") & TERMINAL_STATUSES
        if not statuses:
            return NOT_FOUND
    return PurgeEnded(query.target(), InstanceFilter(created_from, query.time("createdTimeTo"), statuses))


def _operation(request: Request, segments: Sequence[str], query: Query) -> Command | Response:
    instance_id, operation = InstanceId(segments[1]), segments[2].lower()
    if operation in ("terminate", "suspend", "resume"):
        return Control(query.target(), instance_id, operation, query.text("reason"))
    if operation == "rewind":
        return Rewind(query.target(), instance_id, query.text("reason"))
    if operation == "restart":
        return Restart(
            query.target(), instance_id, query.boolean("restartWithNewInstanceId", default=True), query.wait()
        )
    if operation == "restartwithoptions":
        return _restart_with_options(instance_id, query)
    return NOT_FOUND


def _restart_with_options(instance_id: InstanceId, query: Query) -> Command | Response:
    new_id = query.text("newInstanceId") or ""
    if not new_id.strip():
        return argument_error("The query parameter newInstanceId must name the new instance.")
    refusal = _refusal_of_id(new_id)
    if refusal is not None:
        return refusal
    return Restart(
        query.target(),
        instance_id,
        with_new_id=True,
        wait=query.wait(),
        new_id=InstanceId(new_id),
        version=query.text("version"),
    )


def _raise_event(request: Request, segments: Sequence[str], query: Query) -> Command | Response:
    if segments[2].lower() != "raiseevent":
        return NOT_FOUND
    return RaiseEvent(query.target(), InstanceId(segments[1]), segments[3], _media_type(request), request.body)


def _read_entity(_: Request, segments: Sequence[str], query: Query) -> Command:
    key = segments[2]
    return ReadEntity(query.target(), EntityId.of(segments[1], "" if key == _EMPTY_KEY else key))


def _list_entities(request: Request, segments: Sequence[str], query: Query) -> Command | Response:
    top = query.integer("top", default=DEFAULT_PAGE)
    if top < 0:
        return _long_error(500, _INTERNAL_ERROR, f"top is {top}; it must not be negative.", "System.ArgumentException")
    token = unquote(request.headers.get(TOKEN_HEADER, "")) or None
    return ListEntities(
        query.target(),
        segments[1] if len(segments) > 1 else None,
        query.time("lastOperationTimeFrom"),
        query.time("lastOperationTimeTo"),
        min(top, MAX_PAGE),
        None if token == _FIRST_PAGE else token,
        fetch_state=query.boolean("fetchState", default=False),
    )


def _signal_entity(request: Request, segments: Sequence[str], query: Query) -> Command | Response:
    if len(segments) < 2:
        return _short_error(
            400, "Invalid entity id: entity name must not be a null or empty string. (Parameter 'entityName')"
        )
    # Unlike where an entity is read, "$" is the key that it says.
    name, key = segments[1], segments[2] if len(segments) > 2 else ""
    if re.search(r"[/\\#?\x00-\x1f\x7f-\x9f]", key):
        return _short_error(
            400, "entityKey (Parameter 'Entity keys must not contain /, \\, #, ?, or control characters.')"
        )
    try:
        content = _signal_input(request)
    except ValueError as error:
        return _short_error(400, f"Could not parse JSON content: {_json_error(error)}")
    operation = "delete" if request.method == "DELETE" else query.text("op") or ""
    return SignalEntity(query.target(), EntityId.of(name, key), name, operation, content)


def _signal_input(request: Request) -> str | None:
    """Return the input of an operation: JSON, compact, or whatever the body is as a JSON string."""
    if not request.body:
        return None
    text = request.body.decode("utf-8-sig", "replace")
    return _compact(json.loads(text) if _media_type(request) == "application/json" else text)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _make_primary(_: Request, __: Sequence[str], query: Query) -> Command:
    return MakePrimary(query.target())


def _openapi(request: Request, _: Sequence[str], __: Query) -> Response:
    from taskhub.host.management_openapi import openapi_text  # most hosts never need it

    return Response(200, openapi_text(request.url.partition("?")[0][: -len(f"/{OPENAPI_ROUTE}")]))


_ROUTES: Mapping[tuple[str, str, int], Callable[[Request, Sequence[str], Query], Command | Response]] = {
    ("POST", "orchestrators", 2): _start,
    ("POST", "orchestrators", 3): _start,
    ("GET", "instances", 2): _read_status,
    ("GET", "instances", 1): _list,
    ("DELETE", "instances", 2): _purge,
    ("DELETE", "instances", 1): _purge_ended,
    ("POST", "instances", 3): _operation,
    ("POST", "instances", 4): _raise_event,
    ("GET", "entities", 1): _list_entities,
    ("GET", "entities", 2): _list_entities,
    ("GET", "entities", 3): _read_entity,
    **{(method, "entities", length): _signal_entity for method in ("POST", "DELETE") for length in (1, 2, 3)},
    ("GET", OPENAPI_ROUTE, 1): _openapi,
    **{(method, "makeprimary", 1): _make_primary for method in ("GET", "POST", "PUT", "DELETE", "PATCH")},
}


class Query:
    """A query string: names ignoring case, values form-decoded, repeated ones joined by a comma."""

    def __init__(self, raw: str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parse_qsl(raw, keep_blank_values=True):
            self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str | None:
        """Return a value, ``None`` when the name is absent."""
        values = self._values.get(name.lower())
        return None if values is None else ",".join(values)

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return a truth value; what is neither true nor false counts as absent."""
        return {"true": True, "false": False}.get((self.text(name) or "").strip().lower(), default)

    def integer(self, name: str, *, default: int) -> int:
        """Return a whole number; what is none counts as absent."""
        text = (self.text(name) or "").strip()
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else default

    def seconds(self, name: str) -> float | None:
        """Return a number of seconds; what is none counts as absent."""
        text = (self.text(name) or "").strip()
        return float(text) if re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", text) else None

    def time(self, name: str) -> Utc | None:
        """Return a time; what cannot be read as one counts as absent."""
        return parse_time(self.text(name) or "")

    def statuses(self, name: str) -> frozenset[RuntimeStatus]:
        """Return the statuses named, by exact name or number; unknown ones are dropped."""
        written = [part for value in self._values.get(name.lower(), []) for part in value.split(",")]
        return frozenset(status for part in written if (status := _status_of(part.strip())) is not None)

    def wait(self) -> Wait | None:
        """Return how long the caller wants to wait; both times must be there."""
        timeout, interval = self.seconds("timeout"), self.seconds("pollingInterval")
        return None if timeout is None or interval is None else Wait(timeout, interval)

    def target(self) -> Target:
        """Return the hub that the request names."""
        return Target((self.text("taskHub") or "").strip() or None, (self.text("connection") or "").strip() or None)


def _status_of(text: str) -> RuntimeStatus | None:
    if text.isdigit():
        return next((status for status in RuntimeStatus if status.value == int(text)), None)
    return RuntimeStatus.__members__.get(text)


_TIME = re.compile(
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)


def parse_time(text: str) -> Utc | None:
    """Return an ISO-8601 time as UTC, ``None`` when the text is none.

    Years may have lost their leading zeros, as Python's ``strftime`` writes them. Without an offset it is UTC.
    """
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, tzinfo=timezone.utc)
        return Utc.of(moment - _offset(found[8]))
    except (ValueError, OverflowError):
        return None


def _offset(text: str | None) -> timedelta:
    if not text or text.upper() == "Z":
        return timedelta(0)
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timedelta(minutes=-minutes if text[0] == "-" else minutes)


# ---- decisions: what stands against a command


def refusal_of_event(command: RaiseEvent, state: InstanceState | None) -> Response | None:
    """Return why an event is not delivered, ``None`` when it is."""
    if state is None:
        return NOT_FOUND
    if _has_ended(state):
        return GONE
    if command.media_type != "application/json":
        return _short_error(400, "Only application/json request content is supported")
    try:
        event_payload(command)
    except ValueError as error:
        return _long_error(400, _BAD_JSON, _json_error(error), "Newtonsoft.Json.JsonReaderException")
    return None


def event_payload(command: RaiseEvent) -> str:
    """Return the JSON text that the orchestration receives: the body, compact."""
    return _compact(json.loads(command.body.decode("utf-8-sig")))


_RUNNING = frozenset({RuntimeStatus.Running, RuntimeStatus.Pending, RuntimeStatus.ContinuedAsNew})
_LEGAL_FROM = {
    "terminate": _RUNNING | {RuntimeStatus.Suspended},
    "suspend": _RUNNING,
    "resume": frozenset({RuntimeStatus.Suspended}),
}


def refusal_of_control(command: Control, state: InstanceState | None) -> Response | None:
    """Return why an instance cannot be terminated, suspended or resumed, ``None`` when it can."""
    if state is None:
        return NOT_FOUND
    if _has_ended(state):
        return GONE
    if state.status not in _LEGAL_FROM[command.operation]:
        return _long_error(
            500,
            _INTERNAL_ERROR,
            f"Cannot {command.operation} the orchestration instance {command.instance_id} because instance is in the "
            f"{_status_name(state)} state.",
            "System.InvalidOperationException",
        )
    return None


def refusal_of_purge(command: Purge, state: InstanceState | None) -> Response | None:
    """Return why an instance cannot be purged, ``None`` when it can."""
    if state is None:
        return NOT_FOUND
    if command.instance_id.startswith("@") or _has_ended(state):
        return None
    return wrong_state(
        "Only orchestrations in a terminal state can be purged, but the orchestration with instance ID "
        f"{command.instance_id} has status {_status_name(state)}"
    )


def refusal_of_rewind(command: Rewind, state: InstanceState | None) -> Response | None:
    """Return why an instance cannot be rewound, ``None`` when it can."""
    if state is None:
        # The dollar sign is the reference's.
        return Response(404, _compact(f'No orchestration with instance ID "${command.instance_id}" found.'))
    if state.status is RuntimeStatus.Failed:
        return None
    return wrong_state(
        f"This orchestration has status {_status_name(state)}, but only orchestrations in the "
        '"Failed" state can be rewound.'
    )


def refusal_of_restart(command: Restart, state: InstanceState | None) -> Response | None:
    """Return why an instance cannot be restarted, ``None`` when it can."""
    if state is None:
        return _long_error(
            400,
            "InstanceId does not match a valid orchestration instance.",
            f"No instance with ID '{command.instance_id}' was found. (Parameter 'instanceId')",
            "System.ArgumentException",
        )
    if not command.with_new_id and not _has_ended(state):
        return _long_error(
            409,
            "A non-terminal instance with this instance ID already exists.",
            f"An Orchestration instance with the status {_status_name(state)} already exists.",
            "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException",
        )
    return None


def refusal_of_wait(command: Start | Restart) -> Response | None:
    """Return why a wait is refused; by then the instance has been started, as in the reference."""
    wait = command.wait
    if wait is None or wait.interval_seconds <= wait.timeout_seconds:
        return None
    text = f"Total timeout {wait.timeout_seconds:g} should be bigger than retry timeout {wait.interval_seconds:g}"
    if isinstance(command, Start):
        return _short_error(400, text)
    return _long_error(
        400, "InstanceId does not match a valid orchestration instance.", text, "System.ArgumentException"
    )


def _has_ended(state: InstanceState) -> bool:
    return state.status is not None and state.status.is_terminal


def _status_name(state: InstanceState) -> str:
    return state.status.name if state.status else "Unknown"


# ---- result → response

NOT_FOUND = Response(404)
GONE = Response(410)
ACCEPTED = Response(202)
DONE = Response(200)


def already_exists(status: str) -> Response:
    """Return the refusal of a start whose id is taken by a live instance."""
    return _short_error(409, f"An Orchestration instance with the status {status} already exists.")


def argument_error(text: str) -> Response:
    """Return the refusal of a value that the request holds; SDK clients show ``text``."""
    return _long_error(400, _ARGUMENT_ERROR, text, "System.ArgumentException")


def unknown_entity(text: str) -> Response:
    """Return the refusal of a signal to an entity that the app does not have."""
    return _short_error(400, text)


def wrong_state(text: str) -> Response:
    """Return the refusal of an operation that the instance's state does not allow."""
    return Response(412, _compact(text))


def internal_error(text: str, kind: str = "System.InvalidOperationException") -> Response:
    """Return the answer to what failed inside."""
    return _long_error(500, _INTERNAL_ERROR, text, kind)


def purged(count: int) -> Response:
    """Return the answer to a purge."""
    return Response(200, _compact({"instancesDeleted": count}))


def purged_ended(count: int) -> Response:
    """Return the answer to a purge of many."""
    return purged(count) if count else NOT_FOUND


def status_response(
    command: ReadStatus, state: InstanceState | None, history: Sequence[HistoryEvent] | None, url: str
) -> Response:
    """Return the status of an instance.

    Args:
        command: what was asked for.
        state: the instance, ``None`` when there is none.
        history: its events when they were asked for.
        url: the request's, for callers that ask again.
    """
    if state is None:
        return NOT_FOUND
    body = status_json(state, show_input=command.show_input)
    if history is not None:
        try:
            body["historyEvents"] = history_json(
                history, show_input=command.show_input, show_output=command.show_history_output
            )
        except ValueError as error:
            return argument_error(str(error))
    status, headers = _status_code(state, url, error_on_failure=command.error_on_failure)
    return Response(status, _compact(body), headers)


def _status_code(state: InstanceState, url: str, *, error_on_failure: bool) -> tuple[int, Mapping[str, str]]:
    match state.status:
        case RuntimeStatus.Completed | RuntimeStatus.Terminated | RuntimeStatus.Canceled:
            return 200, {}
        case RuntimeStatus.Failed:
            return 500 if error_on_failure else 200, {}
        case None:
            return 500, {}
        case _:
            return 202, {"Location": _canonical(url), "Retry-After": "5"}


_NEEDLESSLY_ENCODED = re.compile("%(21|2[46-9a-e]|3[0-9abd]|4[0-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])", re.IGNORECASE)
"""What a path may hold as it is: letters, digits and ``!$&'()*+,-.:;=@_~``."""


def _canonical(url: str) -> str:
    """Return a URL as the reference shows it: ``instances/@counter@a`` where the caller wrote ``%40``."""
    path, mark, query = url.partition("?")
    return _NEEDLESSLY_ENCODED.sub(lambda match: chr(int(match[1], 16)), path) + mark + query


def empty_page(command: List) -> Response | None:
    """Return the answer to a page of no rows, which needs no query: it only tells where to go on."""
    return list_response(command, InstancePage((), command.token or _FIRST_PAGE)) if command.top == 0 else None


def list_response(command: List, page: InstancePage) -> Response:
    """Return a page of instances."""
    body = [status_json(state, show_input=command.show_input) for state in page.instances]
    return Response(200, _compact(body), {TOKEN_HEADER: quote(page.token or "", safe=_HEADER_SAFE)})


def entity_response(state: EntityState | None) -> Response:
    """Return the state of an entity, as it is; one that was deleted is not there."""
    return NOT_FOUND if state is None else Response(200, _compact(_json_or_text(state.state)))


def no_entities(command: ListEntities) -> Response | None:
    """Return the answer to a page of no rows, as :func:`empty_page`."""
    return list_entities_response(EntityPage((), command.token or _FIRST_PAGE)) if command.top == 0 else None


def list_entities_response(page: EntityPage) -> Response:
    """Return a page of entities."""
    body = [
        {
            "entityId": {"name": each.id.name, "key": each.id.key},
            "lastOperationTime": each.last_operation or _NO_TIME,
            "state": _json_or_text(each.state),
        }
        for each in page.entities
    ]
    return Response(200, _compact(body), {TOKEN_HEADER: quote(page.token or "", safe=_HEADER_SAFE)})


def waited_response(state: InstanceState, url: str) -> Response:
    """Return the result of an instance that ended while its caller waited."""
    if state.status is RuntimeStatus.Completed:
        return Response(200, _compact(_json_or_text(state.output)))
    return status_response(ReadStatus(Target(), state.instance_id), state, None, url)


def status_json(state: InstanceState, *, show_input: bool) -> dict[str, Any]:
    """Return an instance as the API shows it, without its history."""
    return {
        "name": state.name,
        "instanceId": state.instance_id,
        "runtimeStatus": _status_name(state),
        "input": _json_or_text(state.input) if show_input else None,
        "customStatus": _json_or_text(state.custom_status),
        "output": _json_or_text(state.output),
        "createdTime": _whole_seconds(state.created),
        "lastUpdatedTime": _whole_seconds(state.last_updated),
    }


def _json_or_text(text: str | None) -> Any:
    """Return stored text as the JSON value that it is, or as a string."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text if text.strip() else ""


def _whole_seconds(time: Utc | None) -> str:
    return _NO_TIME if time is None else time[:19] + "Z"


# ---- management URLs


def origin_of(origin: str, headers: Mapping[str, str], *, use_forwarded_host: bool) -> str:
    """Return scheme and authority for the URLs of an answer.

    Args:
        origin: the request's own.
        headers: the request's, names in lower case.
        use_forwarded_host: let ``X-Forwarded-Host`` and ``X-Forwarded-Proto`` win when both are there; the request's
            own port stays, as in the reference.

    Raises:
        ValueError: the forwarded host is no host name.
    """
    host, scheme = headers.get("x-forwarded-host"), headers.get("x-forwarded-proto")
    if not (use_forwarded_host and host and scheme):
        return origin
    if not re.fullmatch(r"[A-Za-z0-9.\-_]+|\[[0-9A-Fa-f:.]+\]", host) or not scheme.isalpha():
        raise ValueError("Invalid URI: The hostname could not be parsed.")
    port = re.search(r":\d+$", origin.partition("://")[2])
    return f"{scheme}://{host}{port[0] if port else ''}"


@dataclass(frozen=True, slots=True)
class Urls:
    """Makes the URLs of one hub."""

    base: str
    """Origin and webhook path."""
    hub: str
    connection: str
    """Name of the connection; the default one is spelt ``Storage``."""
    code: str = ""
    """Query part that callers must add, as ``code=…``; empty when no key is asked for."""

    @property
    def _query(self) -> str:
        common = f"taskHub={quote_plus(self.hub)}&connection={quote_plus(self.connection)}"
        return f"{common}&{self.code}" if self.code else common

    def management(self, instance_id: str) -> dict[str, str]:
        """Return the URLs of an instance, by name and in the reference's order."""
        instance = f"{self.base}/instances/{quote_plus(instance_id)}"
        query = self._query
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{instance}?{query}",
            "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{query}",
            "terminatePostUri": f"{instance}/terminate?reason={{text}}&{query}",
            "rewindPostUri": f"{instance}/rewind?reason={{text}}&{query}",
            "purgeHistoryDeleteUri": f"{instance}?{query}",
            "restartPostUri": f"{instance}/restart?{query}",
            "suspendPostUri": f"{instance}/suspend?reason={{text}}&{query}",
            "resumePostUri": f"{instance}/resume?reason={{text}}&{query}",
        }

    def creation(self) -> dict[str, str]:
        """Return the URLs by which instances are started."""
        start = f"{self.base}/orchestrators/{{functionName}}[/{{instanceId}}]?"
        return {
            "createNewInstancePostUri": start + self.code,
            "createAndWaitOnNewInstancePostUri": (
                f"{start}timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}&{self.code}"
            ),
        }

    def check_status(self, instance_id: str) -> Response:
        """Return the receipt of a start: where to ask for the instance."""
        urls = self.management(instance_id)
        del urls["rewindPostUri"]
        return Response(202, _compact(urls), {"Location": urls["statusQueryGetUri"], "Retry-After": "10"})

    def client_payload(
        self,
        rpc_base_url: str | None,
        hub: str | None,
        connection: str | None,
        grpc: Mapping[str, object] | None = None,
    ) -> str:
        """Return the text that a durable client binding receives.

        Args:
            rpc_base_url: address of the loopback door, ``None`` when it is closed.
            hub: hub of the binding, ``None``: the app's.
            connection: connection name of the binding, ``None``: the app's.
            grpc: what clients that speak gRPC are told besides.
        """
        urls = Urls(self.base, hub or self.hub, connection or self.connection, self.code)
        return _compact(
            {
                "taskHubName": urls.hub,
                "connectionName": connection,
                "creationUrls": urls.creation(),
                "managementUrls": urls.management("INSTANCEID"),
                "baseUrl": self.base,
                "requiredQueryStringParameters": self.code,
                "rpcBaseUrl": rpc_base_url,
                "httpBaseUrl": None,
                "maxGrpcMessageSizeInBytes": None,
                "grpcHttpClientTimeout": None,
                **(grpc or {}),
            }
        )


# ---- errors


def _short_error(status: int, message: str) -> Response:
    return Response(status, _compact({"Message": message}))


def _long_error(status: int, message: str, detail: str, kind: str) -> Response:
    return Response(
        status,
        _compact({"Message": message, "ExceptionMessage": detail, "ExceptionType": kind, "StackTrace": None}),
    )


def _json_error(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}. Line {error.lineno}, position {error.colno}."
    return str(error)


def _compact(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # Half a character, which JSON can write but UTF-8 cannot: it stays written as JSON does.
            return json.dumps(value, separators=(",", ":"))
    return text
