"""What an orchestrator may ask of its host.

An action is made when user code asks, so that its input is what the values were then. The JSON shell renders actions
with ``to_json``; the live shell turns those that become history events into operations, and finds them again in the
history by ``_recorded_as`` and ``_recorded_name``.

Source: Durable Task extension, out-of-process protocol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, datetime, timezone
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from azure.durable_functions._replay.history import HistoryEventType
from azure.durable_functions._serialization import df_dumps
from azure.durable_functions.constants import DATETIME_STRING_FORMAT, HTTP_ACTION_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.durable_functions._replay.entities import Request
    from azure.durable_functions._replay.retry import RetryOptions


class EntityAddress(Protocol):
    """What actions need of an ``EntityId``."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...


class HttpRequest(Protocol):
    """What actions need of a ``DurableHttpRequest``."""

    retry_options: Any

    def to_json(self) -> dict[str, Any]: ...


def scheduler_id(entity: EntityAddress) -> str:
    """Return the instance id of an entity; names ignore case, keys do not."""
    return f"@{entity.name.lower()}@{entity.key}"


def as_text(value: Any) -> str:
    """Return an id or a name as text: a ``UUID`` or a number in its place is what code means by it."""
    return value if isinstance(value, str) else str(value)


class ActionType(IntEnum):
    """Number of each kind of action."""

    CALL_ACTIVITY = 0
    CALL_ACTIVITY_WITH_RETRY = 1
    CALL_SUB_ORCHESTRATOR = 2
    CALL_SUB_ORCHESTRATOR_WITH_RETRY = 3
    CONTINUE_AS_NEW = 4
    CREATE_TIMER = 5
    WAIT_FOR_EXTERNAL_EVENT = 6
    CALL_ENTITY = 7
    CALL_HTTP = 8
    SIGNAL_ENTITY = 9
    WHEN_ANY = 11
    WHEN_ALL = 12


class Action(ABC):
    """One request to the host."""

    __slots__ = ("__dict__",)

    _recorded_as: ClassVar[HistoryEventType | None] = None
    """Kind of the event that stands for it in the history; ``None`` for actions that leave none."""

    @property
    @abstractmethod
    def action_type(self) -> int:
        """Number of its kind."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return the form that the host reads."""

    @property
    def _recorded_name(self) -> str | None:
        """Name that its history event carries; ``None`` for events without one."""
        return None


class CallActivityAction(Action):
    """Run an activity once."""

    __slots__ = ("function_name", "input_")
    _recorded_as = HistoryEventType.TASK_SCHEDULED

    def __init__(self, function_name: str, input_: Any = None) -> None:
        self.function_name: str = function_name if type(function_name) is str else as_text(function_name)
        self.input_: str = df_dumps(input_)
        if not function_name:
            raise ValueError("function_name cannot be empty")

    @property
    def action_type(self) -> int:
        return ActionType.CALL_ACTIVITY

    @property
    def _recorded_name(self) -> str:
        return self.function_name

    def to_json(self) -> dict[str, Any]:
        return {"actionType": 0, "functionName": self.function_name, "input": self.input_}


class CallActivityWithRetryAction(CallActivityAction):
    """Run an activity, again when it fails."""

    __slots__ = ("retry_options",)

    def __init__(self, function_name: str, retry_options: RetryOptions, input_: Any = None) -> None:
        super().__init__(function_name, input_)
        self.retry_options: RetryOptions = retry_options

    @property
    def action_type(self) -> int:
        return ActionType.CALL_ACTIVITY_WITH_RETRY

    def to_json(self) -> dict[str, Any]:
        return {
            "actionType": 1,
            "functionName": self.function_name,
            "input": self.input_,
            "retryOptions": self.retry_options.to_json(),
        }


class CallSubOrchestratorAction(Action):
    """Run another orchestration as a child."""

    __slots__ = ("_input", "function_name", "instance_id", "version")
    _recorded_as = HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED

    def __init__(
        self, function_name: str, _input: Any = None, instance_id: str | None = None, version: str | None = None
    ) -> None:
        if not function_name:
            raise ValueError("function_name cannot be empty")
        self.function_name: str = as_text(function_name)
        self._input = df_dumps(_input)
        self.instance_id: str | None = None if instance_id is None else as_text(instance_id)
        self.version: str | None = None if version is None else as_text(version)

    @property
    def action_type(self) -> int:
        return ActionType.CALL_SUB_ORCHESTRATOR

    @property
    def _recorded_name(self) -> str:
        return self.function_name

    def to_json(self) -> dict[str, Any]:
        return {
            "actionType": 2,
            "functionName": self.function_name,
            "input": self._input,
            "instanceId": self.instance_id,
            "version": self.version,
        }


class CallSubOrchestratorWithRetryAction(CallSubOrchestratorAction):
    """Run another orchestration as a child, again when it fails."""

    __slots__ = ("retry_options",)

    def __init__(
        self,
        function_name: str,
        retry_options: RetryOptions,
        _input: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> None:
        super().__init__(function_name, _input, instance_id, version)
        self.retry_options: RetryOptions = retry_options

    @property
    def action_type(self) -> int:
        return ActionType.CALL_SUB_ORCHESTRATOR_WITH_RETRY

    def to_json(self) -> dict[str, Any]:
        return {
            "actionType": 3,
            "functionName": self.function_name,
            "input": self._input,
            "retryOptions": self.retry_options.to_json(),
            "instanceId": self.instance_id,
            "version": self.version,
        }


class CallHttpAction(Action):
    """Let the host make an HTTP request; it travels as an activity of a reserved name."""

    __slots__ = ("http_request",)
    _recorded_as = HistoryEventType.TASK_SCHEDULED

    def __init__(self, http_request: HttpRequest) -> None:
        self.http_request: HttpRequest = http_request

    @property
    def action_type(self) -> int:
        return ActionType.CALL_HTTP

    @property
    def retry_options(self) -> Any:
        """Those of the request; a retry that is refused makes them shorter."""
        return self.http_request.retry_options

    @retry_options.setter
    def retry_options(self, options: Any) -> None:
        self.http_request.retry_options = options

    @property
    def _recorded_name(self) -> str:
        return HTTP_ACTION_NAME

    def to_json(self) -> dict[str, Any]:
        return {"actionType": 8, "httpRequest": self.http_request.to_json()}


class CreateTimerAction(Action):
    """Wake the orchestration at a time.

    Args:
        fire_at: when; a time without zone is UTC, another zone is converted.
        is_cancelled: whether nobody waits for it any more.

    Raises:
        ValueError: not a time.
    """

    __slots__ = ("fire_at", "is_cancelled")
    _recorded_as = HistoryEventType.TIMER_CREATED

    def __init__(self, fire_at: datetime, is_cancelled: bool = False) -> None:
        if not isinstance(fire_at, date):
            raise ValueError("fireAt: Expected valid datetime object but got ", fire_at)
        self.fire_at: datetime = fire_at
        self.is_cancelled: bool = is_cancelled

    @property
    def action_type(self) -> int:
        return ActionType.CREATE_TIMER

    @property
    def _fire_at_utc(self) -> datetime:
        """The time as the host will read it."""
        return as_utc(self.fire_at)

    def to_json(self) -> dict[str, Any]:
        return {
            "actionType": 5,
            "fireAt": self._fire_at_utc.strftime(DATETIME_STRING_FORMAT),
            "isCanceled": self.is_cancelled,
        }


def as_utc(when: date) -> datetime:
    """Return a time as aware UTC; without zone it is UTC already, a date is its midnight."""
    if not isinstance(when, datetime):
        return datetime(when.year, when.month, when.day, tzinfo=timezone.utc)
    return when.replace(tzinfo=timezone.utc) if when.tzinfo is None else when.astimezone(timezone.utc)


class WaitForExternalEventAction(Action):
    """Wait for an event by name."""

    __slots__ = ("external_event_name", "reason")

    def __init__(self, external_event_name: str) -> None:
        if not external_event_name:
            raise ValueError("external_event_name cannot be empty")
        self.external_event_name: str = as_text(external_event_name)
        self.reason: str = "ExternalEvent"

    @property
    def action_type(self) -> int:
        return ActionType.WAIT_FOR_EXTERNAL_EVENT

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WaitForExternalEventAction):
            return NotImplemented
        return self.external_event_name == other.external_event_name

    def __hash__(self) -> int:
        return hash(self.external_event_name)

    def to_json(self) -> dict[str, Any]:
        return {"actionType": 6, "externalEventName": self.external_event_name, "reason": self.reason}


class CallEntityAction(Action):
    """Run an operation of an entity and wait for its result."""

    __slots__ = ("_request", "entity_id", "input_", "instance_id", "operation")
    _recorded_as = HistoryEventType.EVENT_SENT

    def __init__(self, entity_id: EntityAddress, operation: str, input_: Any = None) -> None:
        if not entity_id:
            raise ValueError("entity_id cannot be empty")
        if operation is None:
            raise ValueError("operation cannot be None")  # an operation without a name fails the entity's whole batch
        self.entity_id: EntityAddress = entity_id
        self.instance_id: str = scheduler_id(entity_id)
        self.operation: str = as_text(operation)
        self.input_: str = df_dumps(input_)
        self._request: Request | None = None
        """Id and labels of the message, in the live shell once it is sent."""

    @property
    def action_type(self) -> int:
        return ActionType.CALL_ENTITY

    @property
    def _recorded_name(self) -> str:
        return self.instance_id

    def to_json(self) -> dict[str, Any]:
        return {
            "actionType": int(self.action_type),
            "instanceId": self.instance_id,
            "operation": self.operation,
            "input": self.input_,
        }


class SignalEntityAction(CallEntityAction):
    """Run an operation of an entity without waiting."""

    __slots__ = ()

    @property
    def action_type(self) -> int:
        return ActionType.SIGNAL_ENTITY


class LockEntitiesAction(Action):
    """Lock entities, one after the other in the order of their ids; duplicates count once."""

    __slots__ = ("_request", "entities", "instance_id", "instance_ids")
    _recorded_as = HistoryEventType.EVENT_SENT

    def __init__(self, entities: Sequence[EntityAddress]) -> None:
        if not entities:
            raise ValueError("At least one entity is needed to lock.")
        self.entities = {scheduler_id(entity): entity for entity in entities}
        self.instance_ids = tuple(sorted(self.entities))
        self.instance_id = self.instance_ids[0]
        self._request: Request | None = None
        """As of :class:`CallEntityAction`."""

    @property
    def action_type(self) -> int:
        return 13

    @property
    def _recorded_name(self) -> str:
        return self.instance_id

    def to_json(self) -> dict[str, Any]:
        lock_set = [{"name": e.name.lower(), "key": e.key} for e in map(self.entities.__getitem__, self.instance_ids)]
        return {"actionType": 13, "lockSet": lock_set}


class ReleaseEntitiesAction(Action):
    """Release all entities that are locked."""

    __slots__ = ()

    @property
    def action_type(self) -> int:
        return 14

    def to_json(self) -> dict[str, Any]:
        return {"actionType": 14}


class ReleaseEntityAction(Action):
    """What releasing is in the history, once for each entity; never sent as an action of its own."""

    __slots__ = ("instance_id", "request_id")
    _recorded_as = HistoryEventType.EVENT_SENT

    def __init__(self, instance_id: str, request_id: str | None) -> None:
        self.instance_id = instance_id
        self.request_id = request_id

    @property
    def action_type(self) -> int:
        return 14

    @property
    def _recorded_name(self) -> str:
        return self.instance_id

    def to_json(self) -> dict[str, Any]:
        raise NotImplementedError("all entities are released by one action")


class ContinueAsNewAction(Action):
    """Start over with a new input and an empty history."""

    __slots__ = ("input_",)

    def __init__(self, input_: Any = None) -> None:
        self.input_: str = df_dumps(input_)

    @property
    def action_type(self) -> int:
        return ActionType.CONTINUE_AS_NEW

    def to_json(self) -> dict[str, Any]:
        return {"actionType": 4, "input": self.input_}


class NoOpAction(Action):
    """Stands where a task has no action of its own; never sent."""

    __slots__ = ("metadata",)

    def __init__(self, metadata: str | None = None) -> None:
        self.metadata: str | None = metadata

    @property
    def action_type(self) -> int:
        raise Exception("Attempted to get action type of an anonymous Action")

    def to_json(self) -> dict[str, Any]:
        raise Exception("Attempted to convert an anonymous Action to JSON")


class CompoundAction(Action):
    """Several actions, of which one or all are waited for."""

    __slots__ = ("compound_tasks",)

    def __init__(self, compound_tasks: Sequence[Action]) -> None:
        self.compound_tasks: Sequence[Action] = compound_tasks

    def to_json(self) -> dict[str, Any]:
        return {
            "actionType": int(self.action_type),
            "compoundActions": [action.to_json() for action in self.compound_tasks],
        }


class WhenAllAction(CompoundAction):
    """Wait for all."""

    __slots__ = ()

    @property
    def action_type(self) -> int:
        return ActionType.WHEN_ALL


class WhenAnyAction(CompoundAction):
    """Wait for one.

    For the host a cancelled timer is complete at once, so a race whose loser was cancelled is over when it begins, and
    what comes after it starts too early: before retries during the race have taken their ids, or, for a retry with a
    timeout, before its time begins. Where that matters (``_must_wait``) the host is told to wait for the winner, and
    only to start the others.
    """

    __slots__ = ("_must_wait", "_winner")

    def __init__(self, compound_tasks: Sequence[Action]) -> None:
        super().__init__(compound_tasks)
        self._winner: Action | None = None
        self._must_wait = False

    @property
    def action_type(self) -> int:
        return ActionType.WHEN_ANY

    def to_json(self) -> dict[str, Any]:
        if (
            self._winner is None
            or not self._must_wait
            or not any(_is_over_at_once(action) for action in self.compound_tasks)
        ):
            return super().to_json()
        parts = [
            action.to_json() if action is self._winner else _started_only(action) for action in self.compound_tasks
        ]
        return {"actionType": 12, "compoundActions": parts}


def _is_over_at_once(action: Action) -> bool:
    if isinstance(action, CreateTimerAction):
        return action.is_cancelled
    if isinstance(action, WhenAllAction):
        return all(_is_over_at_once(each) for each in action.compound_tasks)
    return isinstance(action, WhenAnyAction) and any(_is_over_at_once(each) for each in action.compound_tasks)


def _started_only(action: Action) -> dict[str, Any]:
    """Return an action that is over as soon as ``action`` has been started: it races nothing at all."""
    nothing = WhenAllAction([])
    return {"actionType": 11, "compoundActions": [action.to_json(), nothing.to_json()]}
