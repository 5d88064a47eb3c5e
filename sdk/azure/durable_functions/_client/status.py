"""States of instances, and what is known of one."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from azure.durable_functions.constants import DATETIME_STRING_FORMAT

_TIME = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)?", re.IGNORECASE
)


class OrchestrationRuntimeStatus(Enum):
    """State of an instance as the management API spells it; value and name are the same."""

    Running = "Running"
    """It has begun, and waits or works."""

    Completed = "Completed"
    """It has returned; final."""

    ContinuedAsNew = "ContinuedAsNew"
    """It starts anew with other input."""

    Failed = "Failed"
    """It has raised; final, but for rewind."""

    Canceled = "Canceled"
    """It was cancelled; final. No host sets it today."""

    Terminated = "Terminated"
    """It was stopped from outside; final."""

    Pending = "Pending"
    """It has been scheduled, and not begun."""

    Suspended = "Suspended"
    """It is paused until it is resumed or terminated."""


class DurableOrchestrationStatus:
    """Status of an instance. Falsy when there is no such instance.

    Args:
        name: the orchestrator's name.
        instanceId: the instance's id.
        createdTime: when it was created, ISO 8601.
        lastUpdatedTime: when it changed last, ISO 8601.
        input: decoded input; the SDK's own clients send JSON text, which arrives here as text.
        output: decoded output.
        runtimeStatus: name of its state.
        customStatus: what the orchestrator set.
        history: its history events, when they were asked for.
        **kwargs: whatever else the host tells, kept as attributes; ``historyEvents`` also becomes the history.

    Raises:
        ValueError: a state that does not exist, or a time that cannot be read.
    """

    def __init__(
        self,
        name: str | None = None,
        instanceId: str | None = None,
        createdTime: str | None = None,
        lastUpdatedTime: str | None = None,
        input: Any = None,
        output: Any = None,
        runtimeStatus: str | None = None,
        customStatus: Any = None,
        history: list[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._name = name
        self._instance_id = instanceId
        self._created_time = None if createdTime is None else _read_time(createdTime)
        self._last_updated_time = None if lastUpdatedTime is None else _read_time(lastUpdatedTime)
        self._input = input
        self._output = output
        self._runtime_status = None if runtimeStatus is None else OrchestrationRuntimeStatus(runtimeStatus)
        self._custom_status = customStatus
        self._history = kwargs.get("historyEvents") if history is None else history
        for key, value in kwargs.items():
            setattr(self, key, value)

    def __bool__(self) -> bool:
        return self._created_time is not None

    def __repr__(self) -> str:
        state = self._runtime_status.name if self._runtime_status else "missing"
        return f"<DurableOrchestrationStatus {self._instance_id} {self._name} {state}>"

    @classmethod
    def from_json(cls, json_obj: Any) -> DurableOrchestrationStatus:
        """Read the host's answer.

        Args:
            json_obj: the status object; a text becomes the attribute ``message`` of a falsy status.
        """
        return cls(message=json_obj) if isinstance(json_obj, str) else cls(**json_obj)

    def to_json(self) -> dict[str, Any]:
        """Return the status as the management API has it, with ``history`` for its events.

        ``runtimeStatus`` is left out while there is none.
        """
        found = {
            "name": self._name,
            "instanceId": self._instance_id,
            "createdTime": _write_time(self._created_time),
            "lastUpdatedTime": _write_time(self._last_updated_time),
            "output": self._output,
            "input": self._input,
        }
        if self._runtime_status is not None:
            found["runtimeStatus"] = self._runtime_status.name
        return found | {"customStatus": self._custom_status, "history": self._history}

    @property
    def name(self) -> str | None:
        """The orchestrator's name."""
        return self._name

    @property
    def instance_id(self) -> str | None:
        """The instance's id."""
        return self._instance_id

    @property
    def created_time(self) -> datetime | None:
        """When the instance was created; ``None`` when there is no such instance."""
        return self._created_time

    @property
    def last_updated_time(self) -> datetime | None:
        """When the instance changed last."""
        return self._last_updated_time

    @property
    def input_(self) -> Any:
        """The decoded input; an input that the SDK's clients sent is JSON text."""
        return self._input

    @property
    def output(self) -> Any:
        """The decoded output; the error's text when the instance failed."""
        return self._output

    @property
    def runtime_status(self) -> OrchestrationRuntimeStatus | None:
        """The state; ``None`` when there is no such instance."""
        return self._runtime_status

    @property
    def custom_status(self) -> Any:
        """What the orchestrator set with ``set_custom_status``."""
        return self._custom_status

    @property
    def history(self) -> list[Any] | None:
        """The history events as decoded JSON; ``None`` unless they were asked for."""
        return self._history


def _read_time(text: str) -> datetime:
    """Read an ISO 8601 time; digits beyond microseconds are cut, a time without zone stays naive."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    time = datetime.fromisoformat(match["moment"]).replace(microsecond=int((match["fraction"] or "")[:6].ljust(6, "0")))
    zone = match["zone"]
    if zone is None:
        return time
    return time.replace(
        tzinfo=timezone.utc if zone in "Zz" else datetime.fromisoformat(f"2000-01-01T00:00{zone}").tzinfo
    )


def _write_time(time: datetime | None) -> str | None:
    return None if time is None else time.strftime(DATETIME_STRING_FORMAT)
