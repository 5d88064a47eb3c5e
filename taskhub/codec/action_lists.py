"""What an orchestrator of the JSON protocol answers, as text.

Source: Durable Task extension, OutOfProcOrchestrationShim.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from taskhub.codec.http_actions import read_http_call
from taskhub.codec.jsontext import json_of
from taskhub.model.action_list import (
    Answer,
    CallActivity,
    CallEntity,
    CallSubOrchestrator,
    ContinueAsNew,
    Impossible,
    ListedAction,
    LockEntities,
    ReleaseEntities,
    RetryOptions,
    SignalEntity,
    WaitForEvent,
    WaitForTimer,
    WhenAll,
    WhenAny,
)
from taskhub.model.entities import EntityId
from taskhub.model.history import FailureDetails
from taskhub.model.ids import InstanceId, Utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OUT_OF_PROCESS_MARKER = "\n\n$OutOfProcData$:"
"""Stands in the message of an exception before the state of an orchestrator that raised."""

_EXTENSION = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_SHIM = f"{_EXTENSION}.OutOfProcOrchestrationShim"
_NO_STATE = "Out of proc orchestrators must return a valid JSON schema"
_NULL = "Object reference not set to an instance of an object."
"""Texts of the extension, which are the output of the instances that fail so."""

_SCHEMAS = ("Original", "V2", "V3", "V4")
_V2, _V3 = 1, 2


class BadAnswer(Exception):
    """An answer that makes no sense; the message is the extension's.

    Attributes:
        answer: as far as it can be read.
    """

    def __init__(self, message: str, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer or Answer(())


def split_failure(message: str) -> tuple[str, str | None]:
    """Return the message of an exception without the state that it carries, and the text of that state, if any."""
    shown, marker, state = message.rpartition(OUT_OF_PROCESS_MARKER)
    if not marker:
        return message, None
    return shown, state or None


def read_raised_answer(text: str) -> Answer:
    """Return the answer that an exception carried.

    Raises:
        BadAnswer: it is none.
    """
    try:
        state = json.loads(text)
    except ValueError:
        raise BadAnswer(_NO_STATE) from None
    if not isinstance(state, dict):
        raise BadAnswer(_NO_STATE)
    return _read_state(state)


def read_answer(text: str | None) -> Answer:
    """Return the answer that an orchestrator returned; none at all ends the orchestration.

    Raises:
        BadAnswer: it is none that a host could carry out.
    """
    if text is None:
        return Answer((), is_done=True)
    try:
        state = json.loads(text)
        if isinstance(state, str):
            state = json.loads(state)
    except ValueError:
        raise BadAnswer(_NO_STATE) from None
    if state is None:
        return Answer((), is_done=True)
    if not isinstance(state, dict):
        raise BadAnswer("The data returned by the out-of-process function execution was not valid json.")
    answer = _read_state(state)
    if answer.error:
        # The extension expects failures to be raised.
        raise BadAnswer(_NULL, answer)
    return answer


def _read_state(state: Mapping[str, Any]) -> Answer:
    schema = _schema(state.get("schemaVersion"))
    groups = _groups(state.get("actions"), schema)
    error = state.get("error")
    return Answer(
        groups=groups,
        is_done=state.get("isDone") is True,
        output=_text(state.get("output")),
        error=None if error is None else str(error),
        failure=_failure(state.get("failureDetails")),
        custom_status=_text(state.get("customStatus")),
        splits_timers=schema >= _V3,
    )


def _schema(written: object) -> int:
    if written is None:
        return 0
    if isinstance(written, str):
        named = {name.lower(): number for number, name in enumerate(_SCHEMAS)}
        if written.lower() not in named:
            raise BadAnswer(
                f"Error converting value \"{written}\" to type '{_SHIM}+SchemaVersion'. Path 'schemaVersion'."
            )
        return named[written.lower()]
    if type(written) is not int or not 0 <= written < len(_SCHEMAS):
        raise BadAnswer(
            f'The OOProc schema of of version "{written}" is unsupported by this durable-extension version.'
        )
    return written


def _groups(written: object, schema: int) -> tuple[tuple[ListedAction, ...], ...]:
    if not isinstance(written, list):
        if schema >= _V2:
            raise BadAnswer(_NULL)
        raise BadAnswer(
            "Value cannot be null. (Parameter 'Out-of-proc orchestrator schema must have a non-null actions property.')"
        )
    if schema >= _V2 and len(written) != 1:
        raise BadAnswer(
            f"With OOProc schema {_SCHEMAS[schema]}, expected actions array to be of length 1 in outer layer but got "
            f"size: {len(written)}"
        )
    groups = [
        tuple(_action(each, f"actions[{number}][{index}]") for index, each in enumerate(group or ()))
        for number, group in enumerate(written)
    ]
    if schema >= _V2:
        return tuple((action,) for action in groups[0])
    return tuple(group for group in groups if group)


def _action(written: Any, path: str) -> ListedAction:
    if not isinstance(written, dict):
        raise BadAnswer(f"Error converting value {json_of(written)} to type '{_EXTENSION}.AsyncAction'. Path '{path}'.")
    kind = written.get("actionType", 0)
    if isinstance(kind, str):
        kind = _NUMBERS.get(kind.lower(), kind)
    if isinstance(kind, str):
        raise BadAnswer(
            f"Error converting value \"{kind}\" to type '{_SHIM}+AsyncActionType'. Path '{path}.actionType'."
        )
    reader = _READERS.get(kind)
    if reader is None:
        return Impossible(f"Received an unexpected action type from the out-of-proc function: '${kind}'.")
    try:
        return reader(written, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BadAnswer(f"The action at '{path}' ({kind}) cannot be read: {problem}.") from None


def _activity(written: Mapping[str, Any], path: str) -> ListedAction:
    return CallActivity(str(written["functionName"]), json_of(written.get("input")))


def _activity_with_retry(written: Mapping[str, Any], path: str) -> ListedAction:
    retry = _retry(written.get("retryOptions"))
    if isinstance(retry, Impossible):
        return retry
    return CallActivity(str(written["functionName"]), json_of(written.get("input")), retry)


def _sub_orchestrator(written: Mapping[str, Any], path: str) -> ListedAction:
    return _child(written, None)


def _sub_orchestrator_with_retry(written: Mapping[str, Any], path: str) -> ListedAction:
    retry = _retry(written.get("retryOptions"))
    return retry if isinstance(retry, Impossible) else _child(written, retry)


def _child(written: Mapping[str, Any], retry: RetryOptions | None) -> ListedAction:
    instance_id = written.get("instanceId")
    version = written.get("version")
    return CallSubOrchestrator(
        str(written["functionName"]),
        InstanceId(str(instance_id)) if instance_id is not None and str(instance_id).strip() else None,
        json_of(written.get("input")),
        None if version is None else str(version),
        retry,
    )


def _continue_as_new(written: Mapping[str, Any], path: str) -> ListedAction:
    return ContinueAsNew(json_of(written.get("input")))


def _timer(written: Mapping[str, Any], path: str) -> ListedAction:
    return WaitForTimer(_moment(written["fireAt"]), is_cancelled=written.get("isCanceled") is True)


def _event(written: Mapping[str, Any], path: str) -> ListedAction:
    return WaitForEvent(str(written["externalEventName"]))


def _call_entity(written: Mapping[str, Any], path: str) -> ListedAction:
    return CallEntity(_entity(written["instanceId"]), str(written["operation"]), _text(written.get("input")))


def _signal_entity(written: Mapping[str, Any], path: str) -> ListedAction:
    return SignalEntity(_entity(written["instanceId"]), str(written["operation"]), _text(written.get("input")))


def _scheduled_signal(written: Mapping[str, Any], path: str) -> ListedAction:
    due = Utc.of(_moment(written["fireAt"]))
    return SignalEntity(_entity(written["instanceId"]), str(written["operation"]), _text(written.get("input")), due)


def _entity(written: object) -> EntityId:
    entity = EntityId.parse(str(written))
    if entity is None:
        raise ValueError(f"{written!r} is no id of an entity; those look like @name@key")
    return EntityId.of(entity.name, entity.key)


def _lock(written: Mapping[str, Any], path: str) -> ListedAction:
    members = written.get("lockSet")
    if not members:
        return Impossible("LockEntities action requires a non-empty LockSet.")
    entities = set()
    for each in members:
        if not each.get("name") or each.get("key") is None:
            return Impossible(
                "LockEntities action requires each LockSet entry to have a non-empty name and a non-null key."
            )
        entities.add(EntityId.of(str(each["name"]), str(each["key"])))
    return LockEntities(tuple(sorted(entities, key=str)))


def _release(written: Mapping[str, Any], path: str) -> ListedAction:
    return ReleaseEntities()


def _when_all(written: Mapping[str, Any], path: str) -> ListedAction:
    return WhenAll(_children(written, path))


def _when_any(written: Mapping[str, Any], path: str) -> ListedAction:
    return WhenAny(_children(written, path))


def _children(written: Mapping[str, Any], path: str) -> tuple[ListedAction, ...]:
    children = written.get("compoundActions") or ()
    return tuple(_action(each, f"{path}.compoundActions[{index}]") for index, each in enumerate(children))


_READERS: dict[object, Callable[[Mapping[str, Any], str], ListedAction]] = {}
_NUMBERS: dict[str, int] = {}


# ---- values


def _retry(written: Any) -> RetryOptions | Impossible:
    if written is None:
        return Impossible("Value cannot be null. (Parameter 'retryOptions')")
    for name in ("firstRetryIntervalInMilliseconds", "maxNumberOfAttempts"):
        if written.get(name) is None:
            raise BadAnswer(f"Invalid JSON. Must contain field {name} (Parameter 'reader')")
    longest = written.get("maxRetryIntervalInMilliseconds")
    timeout = written.get("retryTimeoutInMilliseconds")
    backoff = written.get("backoffCoefficient")
    return RetryOptions(
        first_interval=timedelta(milliseconds=written["firstRetryIntervalInMilliseconds"]),
        max_attempts=int(written["maxNumberOfAttempts"]),
        backoff=1.0 if backoff is None else float(backoff),
        max_interval=None if longest is None else timedelta(milliseconds=longest),
        timeout=None if timeout is None else timedelta(milliseconds=timeout),
    )


def _failure(written: Any) -> FailureDetails | None:
    if not isinstance(written, dict):
        return None
    return FailureDetails(
        error_type=str(written.get("ErrorType") or ""),
        error_message=str(written.get("ErrorMessage") or ""),
        stack_trace=written.get("StackTrace"),
        inner_failure=_failure(written.get("InnerFailure")),
        is_non_retriable=written.get("IsNonRetriable") is True,
        properties=written.get("Properties"),
    )


def _moment(text: str) -> datetime:
    """Read a time, which is UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text[:-1] if text.endswith("Z") else text)
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment


def _text(value: object) -> str | None:
    return None if value is None else json_of(value)


for _number, (_name, _reader) in enumerate(
    (
        ("CallActivity", _activity),
        ("CallActivityWithRetry", _activity_with_retry),
        ("CallSubOrchestrator", _sub_orchestrator),
        ("CallSubOrchestratorWithRetry", _sub_orchestrator_with_retry),
        ("ContinueAsNew", _continue_as_new),
        ("CreateTimer", _timer),
        ("WaitForExternalEvent", _event),
        ("CallEntity", _call_entity),
        ("CallHttp", read_http_call),
        ("SignalEntity", _signal_entity),
        ("ScheduledSignalEntity", _scheduled_signal),
        ("WhenAny", _when_any),
        ("WhenAll", _when_all),
        ("LockEntities", _lock),
        ("ReleaseEntities", _release),
    )
):
    _NUMBERS[_name.lower()] = _number
    _READERS[_number] = _reader
