"""Deliberate differences in how a history is replayed: external events, what resumes the code, what it yields."""

from __future__ import annotations

import json
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

from azure.durable_functions import errors
from azure.durable_functions._replay import context, executor, shell, tasks
from azure.durable_functions._replay.corruption import corrupt_event
from azure.durable_functions._replay.foreign import foreign_error
from azure.durable_functions._replay.history import HistoryEvent
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.tasks import TaskState
from azure.durable_functions._serialization import df_loads

from tests.support.mends.compounds import HEARING, OLD_RESULTS, completed_twice, sent
from tests.support.mends.mending import Mend, is_back

if TYPE_CHECKING:
    from tests.support.mends.mending import Patch

EARLY = "an external event that nobody waits for yet"
KEPT = "an external event that came before its wait"
NEWEST = "several open waits for one name"
CASE = "the case of an event's name"
UNDECODABLE = "a result that is no JSON, or not of the expected type in strict mode"
ANSWERED = "a call of an entity that something else than its answer completes"
ENVELOPE = "`expected_type` of entity calls in strict mode"
MISSED = "an event without another key that counts"
STARTED = "events before ExecutionStarted, or without it"
NO_TASK = "yielding something that is no task"

_SUCCEEDED = TaskState.SUCCEEDED

# -- external events -------------------------------------------------------------------------------------------------

_take_oldest = executor.Executor._take_wait


def _key(name: str) -> str:
    return name if is_back(CASE) else name.lower()


def _listen(self: Any, task: Any) -> None:
    name = _key(task.id)
    early = self._early_events.get(name)
    if not early:
        self._waits.setdefault(name, []).append(task)
        return
    _, event = early[-1] if is_back(KEPT) else early.popleft()
    executor._complete_wait(task, event, self._is_played(event))


def _on_event_raised(self: Any, event: Any) -> None:
    before = _count_early(self)
    _hear(self, event)
    if _count_early(self) == before:
        return
    if is_back(EARLY):
        warnings.warn(f"Potential duplicate Task completion for TaskId: {event['Name']}", stacklevel=2)
    _resume_anyway(self)


def _count_early(self: Any) -> int:
    return sum(map(len, self._early_events.values()))


def _hear(self: Any, event: Any) -> None:
    self.event_is_played = self._is_played(event)
    name = event["Name"]
    task = self._open.pop(name, None)
    wait = None if task is not None else self._take_wait(_key(name))
    if task is not None:
        executor._complete_entity_call(task, event, self.event_is_played)
    elif wait is not None:
        executor._complete_wait(wait, event, self.event_is_played)
    else:
        self._early_events.setdefault(_key(name), deque()).append((0, event))
        return
    if self._current.state is not TaskState.RUNNING:
        self._resume()


def _take_wait(self: Any, name: str) -> Any:
    waits = self._waits.get(name)
    if not waits or not is_back(NEWEST):
        return _take_oldest(self, name) if waits else None
    wait = waits.pop()
    if wait.is_completed:
        raise Exception(completed_twice(wait))
    return wait


# -- what resumes the code -------------------------------------------------------------------------------------------


def _resume(self: Any) -> None:
    """Run the code. For each task it is said anew whether its event is old; to yield None is to wait for any event."""
    code = self._code
    if code is None:
        return
    self.is_replaying = self.event_is_played
    if isinstance(self._current, _Nothing):
        self._current.is_played  # noqa: B018  (raises)
    while self._current.state is not TaskState.RUNNING:
        task = self._current
        if is_back(OLD_RESULTS):
            self.is_replaying = task.is_played
        try:
            yielded = code.send(task.result) if task.state is _SUCCEEDED else code.throw(task.result)
        except StopIteration as stop:
            self.finish(stop.value)
            return
        except Exception as error:
            self.fail(error)
            return
        if not isinstance(yielded, tasks.TaskBase):
            if not is_back(NO_TASK):
                yielded = executor._refusal(foreign_error(yielded, code))
            elif yielded is None:
                self._current = _Nothing()
                break
        if is_back(NO_TASK) and not isinstance(yielded, tasks.TaskBase):
            yielded._is_scheduled  # noqa: B018  (raises)
        if not yielded._started:
            try:
                self._start(yielded)
            except Exception as error:
                if is_back(UNDECODABLE):
                    _send_whole(self, yielded)
                self.fail(error)
                return
        self._current = yielded
    if self.continued_as_new is not None:
        self.is_done = self.has_ended = True


def _send_whole(self: Any, task: Any) -> None:
    if self.schema is ReplaySchema.V1:
        self.actions.append(list(task._leaf_actions()))
    else:
        self.record(_whole_action(task))


def _whole_action(task: Any) -> Any:
    if isinstance(task, tasks.CompoundTask) and task._make_action and not isinstance(task, tasks.RetryAbleTask):
        return task._make_action([_whole_action(child) for child in task.children if child.action_repr != []])
    return sent(task)[0]


class _Nothing:
    """What the official package takes for a task when the code yields ``None``; the next event stumbles over it."""

    state = _SUCCEEDED

    @property
    def is_played(self) -> bool:
        raise AttributeError("'NoneType' object has no attribute 'is_played'")


def _on_unknown_completion(self: Any, *about: Any) -> None:
    _complete_unknown(self, *about)
    _resume_anyway(self)


def _resume_anyway(self: Any) -> None:
    """Take any event for one that the code may wait for."""
    if (is_back(STARTED) or is_back(NO_TASK)) and self._current.state is not TaskState.RUNNING:
        self._resume()


def _run(self: Any, code: Any) -> None:
    """Let the code start with whatever event resumes it."""
    self._code = code
    self.has_started = True
    self._current._complete(_SUCCEEDED, None, is_played=False)


def _feed_history(context: Any, history: Any) -> None:
    """Say of the start, whatever event makes it, whether it is old."""
    last_start = max(i for i, event in enumerate(history) if event["EventType"] == 12)
    started = next((event for event in history if event["EventType"] == 0), {"IsPlayed": False})
    context._executor._current.is_played = last_start > 0 or bool(started["IsPlayed"])
    _feed_all(context, history)


def _on_execution_started(self: Any, event: Any) -> None:
    self.event_is_played = self._is_played(event)
    self._resume()


def _start_over(self: Any, event: Any) -> None:
    """Forget what the code waits for, so that the next event resumes it."""
    self._current = tasks.TaskBase(None, [])
    self._current._complete(_SUCCEEDED, None, is_played=False)


_feed_all = shell._feed
_complete_unknown = executor.Executor._on_unknown_completion
_complete = executor.Executor._complete
_answer_call = executor._complete_entity_call


# -- what completes a task -------------------------------------------------------------------------------------------


def _complete_leaf(self: Any, task: Any, state: Any, event: Any) -> None:
    """Raise what cannot be decoded here and now; take any completion of an entity's call for its answer."""
    text = event.get("Result")
    if state is not _SUCCEEDED or (not is_back(UNDECODABLE) and not isinstance(task, tasks.EntityCallTask)):
        _complete(self, task, state, event)
    elif is_back(ANSWERED) and isinstance(task, tasks.EntityCallTask):
        response = None if text is None else df_loads(text, task._expected_type)
        response.keys()  # type: ignore[union-attr]  # fails as the official package does
        executor._complete_entity_call(task, {"Input": text}, self._is_played(event))
    else:
        value = None if text is None else df_loads(text, task._expected_type)
        task._complete(_SUCCEEDED, value, self._is_played(event))


def _complete_wait(task: Any, event: Any, is_played: bool) -> None:
    text = event.get("Input")
    task._complete(_SUCCEEDED, None if text is None else df_loads(text, task._expected_type), is_played)


def _complete_entity_call(task: Any, event: Any, is_played: bool) -> None:
    """Raise what cannot be decoded; hold envelope and error against the type that the answer should have."""
    response = json.loads(event["Input"])
    text = response["result"]
    is_timeout = text is not None and text.strip().startswith("Timeout value of")
    if is_back(ENVELOPE):
        df_loads(event["Input"], task._expected_type)
        if text is not None:
            df_loads(json.dumps(text) if is_timeout else text, task._expected_type)
    elif is_back(UNDECODABLE) and text is not None and not is_timeout:
        df_loads(text, None if "exceptionType" in response else task._expected_type)
    _answer_call(task, event, is_played)


# -- what is read of a history ---------------------------------------------------------------------------------------

_make_context = context.DurableOrchestrationContext.__init__
_OPTIONAL = dict.fromkeys(("Name", "InstanceId", "TaskScheduledId", "Reason", "Details", "Input"))


def _parse_all(self: Any, history: Any, *arguments: Any, **keys: Any) -> None:
    for event in history:
        HistoryEvent(**event)
    _make_context(self, history, *arguments, **keys)


def _feed(self: Any, events: Any, *, replayed: int) -> int:
    """Process events; keys that are missed elsewhere are null, and errors stay what they are."""
    handlers = executor._HANDLERS if self.unrecorded is None else executor._CHECKING_HANDLERS
    for count, event in enumerate(events):
        self._history_is_old = count < replayed
        filled = {**_OPTIONAL, **event} if is_back(MISSED) else event
        handler = handlers.get(event["EventType"])
        try:
            if handler is not None:
                handler(self, filled)
        except Exception as error:
            if is_back(UNDECODABLE):
                raise
            raise corrupt_event(count, event, error) from error
        if self.has_ended:
            return count + 1
    return len(events)


def _read_any(cls: Any, text: str) -> Any:
    return cls(**json.loads(text))


def _overlook(self: Any, event: Any) -> None:
    pass


def _handled(kind: int, handler: Any) -> tuple[Patch, ...]:
    return ((executor._HANDLERS, kind, handler), (executor._CHECKING_HANDLERS, kind, handler))


_HEARING = _handled(15, _on_event_raised)
_LISTENING = (
    *_HEARING,
    (executor.Executor, "listen", _listen),
    (executor.Executor, "_take_wait", _take_wait),
)
_ANY_EVENT = (*_HEARING, (executor.Executor, "_on_unknown_completion", _on_unknown_completion))

MENDS: tuple[Mend, ...] = (
    Mend(EARLY, _HEARING),
    Mend(KEPT, _LISTENING),
    Mend(NEWEST, _LISTENING),
    Mend(CASE, _LISTENING),
    Mend(OLD_RESULTS, ((executor.Executor, "_resume", _resume), *HEARING)),
    Mend(NO_TASK, ((executor.Executor, "_resume", _resume), *_ANY_EVENT)),
    Mend(
        STARTED,
        (
            *_ANY_EVENT,
            *_handled(0, _on_execution_started),
            (executor.Executor, "run", _run),
            (shell, "_feed", _feed_history),
        ),
    ),
    Mend("ContinueAsNew within a history", _handled(16, _start_over)),
    Mend(ANSWERED, ((executor.Executor, "_complete", _complete_leaf),)),
    Mend(ENVELOPE, ((executor, "_complete_entity_call", _complete_entity_call),)),
    Mend(
        UNDECODABLE,
        (
            (executor.Executor, "_complete", _complete_leaf),
            (executor, "_complete_wait", _complete_wait),
            (executor, "_complete_entity_call", _complete_entity_call),
            (executor.Executor, "_resume", _resume),
            (executor.Executor, "feed", _feed),
        ),
    ),
    Mend("the class of what a failed call raises", ((errors.TaskFailedError, "__name__", "Exception"),)),
    Mend(
        "an event without `EventId`, `IsPlayed` or `Timestamp`",
        ((context.DurableOrchestrationContext, "__init__", _parse_all),),
    ),
    Mend(MISSED, ((executor.Executor, "feed", _feed),)),
    Mend(
        "a trigger without a key, or with one of another kind",
        ((context.DurableOrchestrationContext, "from_json", classmethod(_read_any)),),
    ),
    Mend(
        "code that does not fit its history",
        tuple((executor._HANDLERS, kind, _overlook) for kind in (4, 7, 10)),
    ),
)
