"""Says how the code and the history of an orchestration differ.

The texts begin as those of the reference, which tools and people search for, and go on with the code's side.

Source: DurableTask.Core.TaskOrchestrationContext.
"""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.history import HistoryEventType
from azure.durable_functions._replay.tasks import TaskBase
from azure.durable_functions.errors import NonDeterminismError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.durable_functions._replay.actions import Action

_QUESTION = "Was a change made to the orchestrator code after this instance had already started running?"


def mismatch(event: Mapping[str, Any], task: TaskBase | None, code: Any) -> NonDeterminismError:
    """Return the error for a scheduling event that the code did not ask for, or not so.

    Args:
        event: the scheduling event.
        task: what the code asked for under this id; ``None`` for nothing.
        code: the generator or coroutine, for the line at which it stands; ``None`` when it never started.
    """
    task_id = event["EventId"]
    if task is None:
        recorded = _recorded_with_details(event)
        text = (
            f"A previous execution of this orchestration scheduled {recorded}, but the current replay execution "
            f"hasn't (yet?) scheduled this task. {_QUESTION}"
        )
    else:
        text = (
            f"A previous execution of this orchestration scheduled {_recorded(event)}, but the current "
            f"orchestration replay instead scheduled {_asked(task.action_repr)} with this sequence number.  {_QUESTION}"
        )
    file, line, source = position(code)
    return NonDeterminismError(
        f"Non-Deterministic workflow detected: {text} {_where(file, line, source, task_id)}",
        task_id=task_id,
        expected=_short(event["EventType"], event.get(_NAME_KEYS.get(event["EventType"], "Name"))),
        actual=None if task is None else _short(task.action_repr._recorded_as, task.action_repr._recorded_name),
        file=file,
        line=line,
        source=source,
        event=event,
    )


_NAME_KEYS = {HistoryEventType.EVENT_SENT: "InstanceId"}
_KINDS = {
    HistoryEventType.TASK_SCHEDULED: "activity",
    HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED: "sub-orchestration",
    HistoryEventType.TIMER_CREATED: "timer",
    HistoryEventType.EVENT_SENT: "event to",
}


def _short(kind: Any, name: str | None) -> str:
    noun = _KINDS.get(kind, "task")
    return noun if name is None else f"{noun} '{name}'"


def _recorded(event: Mapping[str, Any]) -> str:
    number = event["EventId"]
    match event["EventType"]:
        case HistoryEventType.TASK_SCHEDULED:
            return f"an activity task with sequence number {number} named '{event['Name']}'"
        case HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED:
            return f"a sub-orchestration task with sequence number {number} named '{event['Name']}'"
        case HistoryEventType.TIMER_CREATED:
            return f"a timer task with sequence number {number}"
        case _:
            return f"a send event task with sequence number {number} to instance '{event['InstanceId']}'"


def _recorded_with_details(event: Mapping[str, Any]) -> str:
    number = event["EventId"]
    version = event.get("Version") or ""
    match event["EventType"]:
        case HistoryEventType.TASK_SCHEDULED:
            return f"an activity task with sequence ID {number} and name '{event['Name']}' (version '{version}')"
        case HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED:
            return (
                f"a sub-orchestration task with sequence ID {number} and name '{event['Name']}' "
                f"(version '{version}', instance ID '{event['InstanceId']}')"
            )
        case HistoryEventType.TIMER_CREATED:
            return f"a timer task with sequence ID {number}"
        case _:
            return (
                f"a send event task with sequence ID {number}, name '{event['Name']}' "
                f"and instance ID '{event['InstanceId']}'"
            )


def _asked(action: Action) -> str:
    match action._recorded_as:
        case HistoryEventType.TASK_SCHEDULED:
            return f"an activity task named '{action._recorded_name}'"
        case HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED:
            return f"a sub-orchestration task named '{action._recorded_name}'"
        case HistoryEventType.TIMER_CREATED:
            return "a timer task"
        case _:
            return f"a send event task to instance '{action._recorded_name}'"


def position(code: Any) -> tuple[str | None, int | None, str | None]:
    """Return file, number and text of the line at which code stands; nothing when it has ended.

    Args:
        code: a generator or coroutine.
    """
    frame = _innermost_frame(code)
    if frame is None:
        return None, None, None
    file, line = frame.f_code.co_filename, frame.f_lineno
    return file, line, linecache.getline(file, line).strip() or None


def _where(file: str | None, line: int | None, source: str | None, task_id: int) -> str:
    if file is None:
        return f"The code has ended without asking for a task with sequence number {task_id}."
    return f"The code now stands at {file}, line {line}" + (f": {source}" if source else ".")


_WAITING = (TaskBase.__await__.__code__, TaskBase.__iter__.__code__)


def _innermost_frame(code: Any) -> Any:
    """Return the frame that yielded, below any ``yield from`` or ``await``; ``None`` when there is none."""
    frame = None
    while code is not None:
        below = getattr(code, "gi_frame", None) or getattr(code, "cr_frame", None)
        if below is not None and below.f_code not in _WAITING:
            frame = below
        code = getattr(code, "gi_yieldfrom", None) or getattr(code, "cr_await", None)
    return frame
