"""Drives one orchestrator over its history; the only loop of the SDK.

The executor walks over events, each handled by the function that ``_HANDLERS`` names for its number. An event may
complete a leaf task; when that completes the task which user code waits for, its value is sent into the generator (or
its exception thrown), again and again while the generator yields tasks that are complete already. Everything else
follows from two rules:

* Task ids come from one counter and are given when a task is started (``tasks.py``), so the same history gives the
  same ids on every replay.
* A completion finds its task by id alone. Whether the history was written by this code is checked only by the live
  shell, against the scheduling events (``_check_scheduled``); with the JSON protocol the host does it.

Two shells use it. The JSON shell wants the whole list of actions (``actions``), the live shell the started leaves that
are not yet in the history (``unrecorded``); each leaves the other's container at ``None``.

The loop ends when the code has returned, raised or continued as new. It may be entered many times with further events.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections import deque
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.actions import (
    ContinueAsNewAction,
    ReleaseEntitiesAction,
    ReleaseEntityAction,
    SignalEntityAction,
    as_utc,
)
from azure.durable_functions._replay.corruption import corrupt_event
from azure.durable_functions._replay.foreign import foreign_error
from azure.durable_functions._replay.history import HistoryEventType, to_ticks
from azure.durable_functions._replay.locks import CriticalSection, EntityLock, locking_error
from azure.durable_functions._replay.nondeterminism import mismatch
from azure.durable_functions._replay.payloads import result_of, undecodable
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.tasks import AtomicTask, EntityCallTask, LockTask, TaskBase, TaskState
from azure.durable_functions._serialization import df_loads, loads_event
from azure.durable_functions.errors import LockingRulesError, NonDeterminismError, TaskFailedError, task_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from datetime import datetime

    from azure.durable_functions._replay.actions import Action, CallEntityAction, LockEntitiesAction, WhenAnyAction
    from azure.durable_functions._replay.entities import RequestLabels
    from azure.durable_functions._replay.foreign import GuardedCoroutine
    from azure.durable_functions._replay.history import Clock
    from azure.durable_functions._replay.tasks import ExternalEventTask
    from azure.durable_functions.errors import ForeignAwaitableError

    Event = Mapping[str, Any]

_logger = logging.getLogger("azure.durable_functions")

_RUNNING = TaskState.RUNNING
_SUCCEEDED = TaskState.SUCCEEDED
_FAILED = TaskState.FAILED


class Executor:
    """State of one orchestration between events.

    Args:
        clock: moved by OrchestratorStarted events.
        schema: form of ``actions``.
        actions: filled with what the code asks for, in the schema's form; ``None`` if nobody wants it.
        unrecorded: filled with started leaves by id until their scheduling event passes; ``None`` if nobody checks.
        labels: makes the ids of entity requests; ``None`` where the host makes them.

    Attributes:
        has_started: whether ExecutionStarted has come.
        has_mismatch: whether a scheduling event was logged that the code did not ask for.
        is_replaying: whether the code that runs now has run before.
        is_done: the code returned or continued as new.
        output: what it returned.
        error: what it raised; the error of user code, or of the replay.
        continued_as_new: the action, once the code has asked for it.
        retries: how many timers and further attempts of retried calls were started.
    """

    __slots__ = (
        "_code",
        "_current",
        "_early_completions",
        "_early_count",
        "_early_events",
        "_fed",
        "_history_is_old",
        "_kept_events",
        "_open",
        "_races",
        "_section",
        "_section_lock",
        "_waits",
        "actions",
        "clock",
        "continued_as_new",
        "error",
        "event_is_played",
        "has_ended",
        "has_mismatch",
        "has_started",
        "is_done",
        "is_replaying",
        "labels",
        "next_id",
        "output",
        "retries",
        "schema",
        "unrecorded",
    )

    def __init__(
        self,
        *,
        clock: Clock,
        schema: ReplaySchema,
        actions: list[Any] | None = None,
        unrecorded: dict[int, TaskBase] | None = None,
        labels: RequestLabels | None = None,
    ) -> None:
        self.clock = clock
        self.schema = schema
        self.actions = actions
        self.unrecorded = unrecorded
        self.labels = labels
        self.next_id = 0
        self.retries = 0
        self.is_replaying = False
        self.event_is_played = False
        self.has_ended = False
        self.has_mismatch = False
        self.is_done = False
        self.output: Any = None
        self.error: Exception | None = None
        self.continued_as_new: ContinueAsNewAction | None = None
        self._fed = 0
        self.has_started = False
        self._history_is_old = False
        self._code: Generator[Any, Any, Any] | GuardedCoroutine | None = None
        self._current = TaskBase(None, [])  # completed by ExecutionStarted
        self._open: dict[Any, TaskBase] = {}
        self._races: list[WhenAnyAction] = []
        self._section: CriticalSection | None = None
        self._section_lock: LockTask | None = None
        self._early_completions: dict[Any, tuple[TaskState, Event]] = {}
        self._waits: dict[str, list[ExternalEventTask]] = {}
        self._early_events: dict[str, deque[tuple[int, Event]]] = {}
        self._early_count = 0
        self._kept_events: Sequence[Event] = ()

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self, code: Generator[Any, Any, Any] | GuardedCoroutine) -> None:
        """Take the code to drive; ExecutionStarted starts it."""
        self._code = code

    def feed(self, events: Sequence[Event], *, replayed: int) -> int:
        """Process events until the code ends.

        Args:
            events: the next events of the history.
            replayed: how many of them, from the first, belong to episodes that ended before.

        Returns:
            How many were processed.

        Raises:
            CorruptHistoryError: an event cannot be read; its index counts from the first that was ever fed.
        """
        handlers = _HANDLERS if self.unrecorded is None else _CHECKING_HANDLERS
        count = 0
        for is_old, part in ((True, events[:replayed]), (False, events[replayed:])):
            if self.has_ended:
                break
            self._history_is_old = is_old
            for event in part:
                count += 1
                try:
                    handler = handlers.get(event["EventType"])
                    if handler is None:
                        continue
                    handler(self, event)
                except Warning:
                    raise  # warnings are errors here
                except Exception as error:
                    raise corrupt_event(self._fed + count - 1, event, error) from error
                if self.has_ended:
                    break
        self._fed += count
        return count

    def _resume(self) -> None:
        """Run user code until it waits for something that is not there yet."""
        code = self._code
        if code is None:
            return
        self.is_replaying = self.event_is_played
        task = self._current
        while True:
            state = task.state
            if state is _RUNNING:
                break
            try:
                yielded = code.send(task.result) if state is _SUCCEEDED else code.throw(task.result)
            except StopIteration as stop:
                self.finish(stop.value)
                return
            except Exception as error:  # whatever user code raises is its result
                self.fail(error)
                return
            if isinstance(yielded, TaskBase):
                task = yielded
                if not task._started:
                    self._start(task)
            else:
                task = _refusal(foreign_error(yielded, code))
            # A wait that is started is matched with events while it is the current one.
            self._current = task
        if self.continued_as_new is not None:
            self.is_done = True
            self.has_ended = True

    def finish(self, output: Any) -> None:
        """The code returned."""
        self._release_at_end()
        self.output = output
        self.is_done = True
        self.has_ended = True

    def fail(self, error: Exception) -> None:
        """The code raised."""
        self.error = error
        self.is_done = self.continued_as_new is not None
        self.has_ended = True

    def close(self) -> None:
        """Let the code go; its ``finally`` blocks run."""
        code, self._code = self._code, None
        self.has_ended = True
        if code is not None:
            code.close()

    # -- what tasks and the context ask of it -----------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The orchestration's clock."""
        return as_utc(self.clock.now)

    @property
    def ticks(self) -> int:
        """The same, exactly: in units of 100 ns."""
        return to_ticks(self.clock.ticks_text)

    def _start(self, task: TaskBase) -> None:
        action = task._start(self)
        if action is None or self.actions is None or self.continued_as_new is not None:
            return
        if self.schema is ReplaySchema.V1:
            # A compound with anything new in it repeats the rest, though it went out before.
            self.actions.append(list(task._leaf_actions()))
        else:
            self.actions.append(action)

    def record(self, action: Action) -> None:
        """Send an action that belongs to no new step of user code."""
        if self.actions is not None and self.continued_as_new is None:
            self.actions.append([action] if self.schema is ReplaySchema.V1 else action)

    def open(self, task: TaskBase) -> None:
        """Give a leaf its id and wait for the event that completes it."""
        task.id = task_id = self._take_id(task)
        if task_id in self._early_completions:
            state, event = self._early_completions.pop(task_id)
            self._complete(task, state, event)
        else:
            self._open[task_id] = task

    def on_race_over(self, action: WhenAnyAction) -> None:
        """Take note of a race that is decided."""
        if self.actions is not None:
            self._races.append(action)

    def keep_order(self) -> None:
        """Have the host wait for the winners of the races so far, as the code did."""
        for race in self._races:
            race._must_wait = True
        self._races.clear()

    def listen(self, task: ExternalEventTask) -> None:
        """Wait for an external event; one that came early is taken, the oldest first."""
        name = task.id.lower()
        early = self._early_events.get(name)
        if early:
            _, event = early.popleft()
            if not early:
                del self._early_events[name]
            _complete_wait(task, event, self._is_played(event))
        else:
            self._waits.setdefault(name, []).append(task)

    def request(self, task: EntityCallTask) -> None:
        """Give a leaf its id and wait for an entity's answer."""
        if self.labels is None:
            self.open(task)  # until EventSent tells the request's id
        else:
            task.id = self._take_id(task)
            request = self.labels.label(task.action_repr.instance_id, self.clock)
            task.action_repr._request = request
            self._open[request.id] = task
        if isinstance(task, LockTask):
            self._section = CriticalSection(task.action_repr.instance_ids)
            self._section_lock = task
        elif self._section is not None:
            self._section.call(task.action_repr.instance_id)

    def signal(self, task: AtomicTask) -> None:
        """Send a signal at once; nothing answers it."""
        action: SignalEntityAction = task.action_repr
        problem = None if self._section is None else self._section.why_not_signal(action.instance_id)
        if problem is not None:
            raise locking_error(problem, action.instance_id)
        if self.labels is not None:
            action._request = self.labels.label(action.instance_id, self.clock)
        task._started = True
        task.id = self._take_id(task)
        self.record(action)

    # -- critical sections ------------------------------------------------------------------------------------------

    @property
    def section(self) -> CriticalSection | None:
        """The critical section that the code is in, or about to enter."""
        return self._section

    def release(self, section: CriticalSection) -> None:
        """Release a section, unless it is over.

        Raises:
            LockingRulesError: an entity of it has not answered yet.
        """
        if section is not self._section:
            return
        if section.is_calling:
            raise LockingRulesError("Must await the calls of a critical section before its entities are released.")
        self.record(ReleaseEntitiesAction())
        self._release_each(section)

    def _release_each(self, section: CriticalSection) -> None:
        """Send a release to each entity: as many messages, as many ids."""
        lock: LockEntitiesAction | None = None if self._section_lock is None else self._section_lock.action_repr
        request = None if lock is None else lock._request
        self._section = None
        for entity in section.to_release:
            task = AtomicTask(None, ReleaseEntityAction(entity, None if request is None else request.id))
            task._started = True
            task.id = self._take_id(task)

    def _release_at_end(self) -> None:
        """Release what is still held when the code returns or continues as new; the official host does it by itself."""
        if self._section is not None and self._section.is_granted and self.unrecorded is not None:
            self._release_each(self._section)

    @property
    def keeps_events(self) -> bool:
        """Whether the host can take unprocessed events into the next generation."""
        return self.unrecorded is not None

    def continue_as_new(self, action: ContinueAsNewAction, *, keep_events: bool = False) -> None:
        """Take the first wish to start over; later ones change nothing, and no later action goes out."""
        self.record(action)
        if self.unrecorded is None:
            self.next_id += 1  # the host gives it one too
        if self.continued_as_new is None:
            self._release_at_end()
            self.continued_as_new = action
            self._kept_events = self._unprocessed_events() if keep_events else ()

    @property
    def kept_events(self) -> Sequence[Event]:
        """External events that had come before the code continued as new, and that it wants to see again."""
        return self._kept_events

    def _unprocessed_events(self) -> Sequence[Event]:
        waiting = sorted(chain.from_iterable(self._early_events.values()), key=itemgetter(0))
        # An entity's answer to an earlier generation is of no use to any later one.
        return [event for _, event in waiting if not _is_answer(event)]

    def _take_id(self, task: TaskBase) -> int:
        task_id = self.next_id
        if self.unrecorded is not None:
            if self.continued_as_new is not None:
                return -1  # goes nowhere: the execution ends here
            self.unrecorded[task_id] = task
        self.next_id = task_id + 1
        return task_id

    # -- events -----------------------------------------------------------------------------------------------------

    def _is_played(self, event: Event) -> bool:
        return self._history_is_old or bool(event["IsPlayed"])

    def _complete(self, task: TaskBase, state: TaskState, event: Event) -> None:
        if state is _SUCCEEDED:
            text = event.get("Result")
            try:
                value = None if text is None else df_loads(text, task._expected_type)  # type: ignore[attr-defined]  # leaves
            except Warning:
                raise  # warnings are errors here
            except Exception as error:  # also what a user's from_json raises
                state, value = _FAILED, undecodable(result_of(task), text, task._expected_type, error)  # type: ignore[attr-defined]  # leaves
        else:
            value = _failure(task.action_repr, event)
        task._complete(state, value, self._history_is_old or event["IsPlayed"])

    def _on_orchestrator_started(self, event: Event) -> None:
        self.clock.move_to(event["Timestamp"])

    def _on_execution_started(self, event: Event) -> None:
        if self.has_started:
            return
        self.has_started = True
        self.event_is_played = self._is_played(event)
        self._current._complete(_SUCCEEDED, None, self.event_is_played)
        self._resume()

    def _on_completed(self, event: Event, key: str = "TaskScheduledId", state: TaskState = _SUCCEEDED) -> None:
        task_id = event[key]
        task = self._open.pop(task_id, None)
        if task is None:
            self._on_unknown_completion(task_id, state, event)
            return
        self.event_is_played = self._history_is_old or event["IsPlayed"]
        self._complete(task, state, event)
        if self._current.state is not _RUNNING:
            self._resume()

    def _on_failed(self, event: Event) -> None:
        self._on_completed(event, state=_FAILED)

    def _on_timer_fired(self, event: Event) -> None:
        self._on_completed(event, "TimerId")

    def _on_unknown_completion(self, task_id: Any, state: TaskState, event: Event) -> None:
        if self.unrecorded is None:
            warnings.warn(f"Potential duplicate Task completion for TaskId: {task_id}", stacklevel=2)
            self._early_completions[task_id] = (state, event)

    def _on_event_sent(self, event: Event) -> None:
        """The host has sent an entity request: its id is the name under which the answer comes."""
        task = self._open.get(event["EventId"])
        if isinstance(task, EntityCallTask):
            del self._open[event["EventId"]]
            self._open[json.loads(event["Input"])["id"]] = task

    def _on_event_raised(self, event: Event) -> None:
        self.event_is_played = self._is_played(event)
        name = event["Name"]
        task = self._open.pop(name, None)
        if isinstance(task, LockTask):
            self._enter_section(task)
        elif isinstance(task, EntityCallTask):
            if self._section is not None:
                self._section.answer(task.action_repr.instance_id)
            _complete_entity_call(task, event, self.event_is_played)
        else:
            wait = self._take_wait(name.lower())
            if wait is None:
                self._early_count += 1
                self._early_events.setdefault(name.lower(), deque()).append((self._early_count, event))
                return
            _complete_wait(wait, event, self.event_is_played)
        if self._current.state is not _RUNNING:
            self._resume()

    def _enter_section(self, task: LockTask) -> None:
        section = self._section
        if section is None or task is not self._section_lock:
            return  # a grant that comes twice
        section.is_granted = True
        task._complete(_SUCCEEDED, EntityLock(section, self), self.event_is_played)

    def _take_wait(self, name: str) -> ExternalEventTask | None:
        """Take the oldest wait for a name that the code is waiting for now, else the oldest of all.

        Waits that lost a race stay open. They come last, so that a loop which races a new wait each time round gets
        its events.
        """
        waits = self._waits.get(name)
        if waits is None:
            return None
        index = 0
        if len(waits) > 1:
            index = next((i for i, wait in enumerate(waits) if _leads_to(wait, self._current)), 0)
        wait = waits.pop(index)
        if not waits:
            del self._waits[name]
        return wait

    # -- checking the history against the code ----------------------------------------------------------------------

    def _notice_call(self, event: Event) -> None:
        """Look at the scheduling event of an activity or a sub-orchestration; on the hot path."""
        try:
            if self._open[event["EventId"]].action_repr.function_name == event["Name"]:
                return
        except (LookupError, AttributeError):
            pass  # another kind of task, or none
        self._notice_scheduled(event)

    def _notice_scheduled(self, event: Event) -> None:
        """Log a scheduling event that the code did not ask for: the host will fail the instance, without our side."""
        task = self._open.get(event["EventId"])
        if self.has_mismatch or event["EventId"] < 0 or (task is not None and _is_same(task.action_repr, event)):
            return
        self.has_mismatch = True
        _logger.error("%s", mismatch(event, task, self._code))

    def _check_scheduled(self, event: Event) -> None:
        """Find the leaf that a scheduling event stands for."""
        task = self._recorded(event)
        if task is not None and event["EventType"] == HistoryEventType.EVENT_SENT and isinstance(task, EntityCallTask):
            self._adopt_request_id(task, event)

    def _adopt_request_id(self, task: EntityCallTask, event: Event) -> None:
        """Listen under the id in the history, in case that another program made it."""
        ours = task.action_repr._request.id
        text = event.get("Input")
        if text is not None and ours not in text and self._open.pop(ours, None) is not None:
            theirs = json.loads(text)["id"]
            task.action_repr._request = replace(task.action_repr._request, id=theirs)
            self._open[theirs] = task

    def _recorded(self, event: Event) -> TaskBase | None:
        unrecorded = self.unrecorded
        task_id = event["EventId"]
        if unrecorded is None or task_id < 0:
            return None
        task = unrecorded.pop(task_id, None)
        if task is None and task_id < self.next_id:
            return None  # seen before
        if task is None or not _is_same(task.action_repr, event):
            self.error = mismatch(event, task, self._code)
            self.is_done = False
            self.has_ended = True
            unrecorded.clear()
        return task

    def check_after_end(self, events: Sequence[Event]) -> None:
        """Compare the rest of a history, after the code has ended, with what the code had asked for."""
        for event in events:
            if event["EventType"] in _SCHEDULING_EVENTS:
                self._recorded(event)
            if isinstance(self.error, NonDeterminismError):
                break


def _is_same(action: Action, event: Event) -> bool:
    if action._recorded_as != event["EventType"]:
        return False
    name = action._recorded_name
    if name is None:
        return True
    recorded: str = event["InstanceId" if event["EventType"] == HistoryEventType.EVENT_SENT else "Name"]
    # Function names ignore case, and a version may ride behind a line feed.
    return recorded == name or recorded.partition("\n")[0].lower() == name.lower()


def _leads_to(task: TaskBase, goal: TaskBase) -> bool:
    """Whether a result of ``task`` may complete ``goal``."""
    return task is goal or any(not parent.is_completed and _leads_to(parent, goal) for parent in task._parents)


def _refusal(error: ForeignAwaitableError) -> TaskBase:
    """Return a failed task, so that the error is raised at the line that yielded."""
    task = TaskBase(-1, [])
    task._started = True
    task._complete(_FAILED, error, False)
    return task


def _complete_wait(task: ExternalEventTask, event: Event, is_played: bool) -> None:
    text = event.get("Input")
    try:
        value = None if text is None else loads_event(text, task._expected_type)
    except Warning:
        raise  # warnings are errors here
    except Exception as error:  # also what a user's from_json raises
        field = f"data of external event {event['Name']!r}"
        task._complete(_FAILED, undecodable(field, text, task._expected_type, error), is_played)
    else:
        task._complete(_SUCCEEDED, value, is_played)


def _is_answer(event: Event) -> bool:
    """Whether an event that nobody waits for is an entity's answer: those are named by the id of their request."""
    return _REQUEST_ID.fullmatch(event["Name"]) is not None and '"result"' in (event.get("Input") or "")


_REQUEST_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _failure(action: Action, event: Event) -> TaskFailedError:
    reason, details = event.get("Reason"), event.get("Details")
    is_child = event["EventType"] == HistoryEventType.SUB_ORCHESTRATION_INSTANCE_FAILED
    return task_failed(
        f"{reason} \n {details}",
        kind="orchestration" if is_child else "activity",
        name=action._recorded_name,
        reason=reason,
        raw_details=details,
        failure=event.get("FailureDetails"),
    )


def _complete_entity_call(task: EntityCallTask, event: Event, is_played: bool) -> None:
    response = json.loads(event["Input"])
    text = response["result"]
    action: CallEntityAction = task.action_repr
    if text is not None and text.strip().startswith("Timeout value of"):
        task._complete(_FAILED, TaskFailedError(text, kind="entity", name=action.instance_id), is_played)
        return
    has_failed = "exceptionType" in response
    expected = None if has_failed else task._expected_type
    try:
        value = None if text is None else df_loads(text, expected)
    except Warning:
        raise  # warnings are errors here
    except Exception as error:  # also what a user's from_json raises
        field = f"result of operation {action.operation!r} of entity {action.instance_id!r}"
        task._complete(_FAILED, undecodable(field, text, expected, error), is_played)
        return
    if has_failed:
        task._complete(_FAILED, TaskFailedError(value, kind="entity", name=action.instance_id), is_played)
    else:
        task._complete(_SUCCEEDED, value, is_played)


_READING_HANDLERS: dict[int, Callable[[Executor, Event], None]] = {
    int(HistoryEventType.EXECUTION_STARTED): Executor._on_execution_started,
    int(HistoryEventType.TASK_COMPLETED): Executor._on_completed,
    int(HistoryEventType.TASK_FAILED): Executor._on_failed,
    int(HistoryEventType.SUB_ORCHESTRATION_INSTANCE_COMPLETED): Executor._on_completed,
    int(HistoryEventType.SUB_ORCHESTRATION_INSTANCE_FAILED): Executor._on_failed,
    int(HistoryEventType.TIMER_FIRED): Executor._on_timer_fired,
    int(HistoryEventType.ORCHESTRATOR_STARTED): Executor._on_orchestrator_started,
    int(HistoryEventType.EVENT_SENT): Executor._on_event_sent,
    int(HistoryEventType.EVENT_RAISED): Executor._on_event_raised,
}
"""What to do for an event; the others tell user code nothing."""

_SCHEDULING_EVENTS = (
    int(HistoryEventType.TASK_SCHEDULED),
    int(HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED),
    int(HistoryEventType.TIMER_CREATED),
    int(HistoryEventType.EVENT_SENT),
)

_HANDLERS = {
    **_READING_HANDLERS,
    int(HistoryEventType.TASK_SCHEDULED): Executor._notice_call,
    int(HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED): Executor._notice_call,
    int(HistoryEventType.TIMER_CREATED): Executor._notice_scheduled,
}
"""The same where the host checks the history against the code."""

_CHECKING_HANDLERS = {**_READING_HANDLERS, **dict.fromkeys(_SCHEDULING_EVENTS, Executor._check_scheduled)}
"""The same where we do."""
