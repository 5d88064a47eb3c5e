"""Addresses of the management API that carry options."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from azure.durable_functions._client.status import OrchestrationRuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from azure.durable_functions.models.utils.entity_utils import EntityId


class RpcManagementOptions:
    """Options of a status, event or entity request, and the address that they make.

    Every option is left out of the address while it is ``None`` or empty. Values are escaped, so that an id or a name
    may hold any character (the host reads ``+`` as a blank and ``/`` as two segments, escaped or not).

    Args:
        instance_id: the instance; without it, and without an operation, the address is that of all instances.
        task_hub_name: another task hub than the app's.
        connection_name: setting with another storage connection than the app's.
        show_history: ask for the history.
        show_history_output: ask for the results in the history.
        created_time_from: only instances created at or after this time; naive times are UTC.
        created_time_to: only instances created at or before this time; naive times are UTC.
        runtime_status: only instances in these states.
        show_input: ask for the input.
        operation_name: the operation of a signal.
        entity_Id: the entity; the address is then the entity's.
        instance_id_prefix: only instances whose id begins with this.
    """

    def __init__(
        self,
        instance_id: str | None = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
        show_history: bool | None = None,
        show_history_output: bool | None = None,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: Iterable[OrchestrationRuntimeStatus] | None = None,
        show_input: bool | None = None,
        operation_name: str | None = None,
        entity_Id: EntityId | None = None,
        instance_id_prefix: str | None = None,
    ) -> None:
        self._instance_id = instance_id
        self._task_hub_name = task_hub_name
        self._connection_name = connection_name
        self._show_history = show_history
        self._show_history_output = show_history_output
        self._created_time_from = created_time_from
        self._created_time_to = created_time_to
        self._runtime_status = runtime_status
        self._show_input = show_input
        self.operation_name = operation_name
        self.entity_Id = entity_Id
        self._instance_id_prefix = instance_id_prefix

    def to_url(self, base_url: str | None) -> str:
        """Return the address.

        Args:
            base_url: address of the management API, with ``/`` at its end.

        Raises:
            ValueError: there is no base address, or a state that does not exist.
            TypeError: a time is no ``datetime``.
        """
        if base_url is None:
            raise ValueError("orchestration bindings has not RPC base url")
        query = "&".join(f"{name}={value}" for name, value in self._query() if value is not None)
        return f"{base_url}{self._path()}{'?' if query else ''}{query}"

    def _path(self) -> str:
        if self.entity_Id is not None:
            return f"entities/{quoted(self.entity_Id.name)}/{quoted(self.entity_Id.key)}"
        return f"instances/{quoted(self._instance_id or '')}"

    def _query(self) -> list[tuple[str, str | None]]:
        return [
            ("taskHub", _text(self._task_hub_name)),
            ("connectionName", _text(self._connection_name)),
            ("showInput", _flag(self._show_input)),
            ("showHistory", _flag(self._show_history)),
            ("showHistoryOutput", _flag(self._show_history_output)),
            ("createdTimeFrom", _time("created_time_from", self._created_time_from)),
            ("createdTimeTo", _time("created_time_to", self._created_time_to)),
            ("op", _text(self.operation_name)),
            ("instanceIdPrefix", _text(self._instance_id_prefix)),
            ("runtimeStatus", _states(self._runtime_status)),
        ]


def quoted(value: object) -> str:
    """Escape a value for a path or a query; characters that mean nothing in either stay readable.

    Ids and names may be anything that has a text, such as a ``UUID``: the reference formats what it gets.
    """
    return quote(value if isinstance(value, str) else str(value), safe="@:,;!$'()*~")


def _text(value: object) -> str | None:
    return quoted(value) if value else None


def _flag(value: bool | None) -> str | None:
    return str(value) if value else None


def _time(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime, not {type(value).__name__}")
    if value.tzinfo is not None:
        value = value.astimezone(timezone.utc).replace(tzinfo=None)
    return f"{value.isoformat(timespec='microseconds')}Z"


def _states(states: Any) -> str | None:
    if not states:
        return None
    several = [states] if isinstance(states, (str, OrchestrationRuntimeStatus)) else states
    return ",".join(OrchestrationRuntimeStatus(state).value for state in several)
