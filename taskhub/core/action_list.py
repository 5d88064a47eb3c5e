"""Carries out an action list: which of it is new, and whether the code behind it may end.

The list is run from its beginning, against the whole history, as if user code had made its calls in that order, one
after the other. Every operation takes the next id when it begins, so that those which begin late (the second attempt
of a retry, the next leg of a long timer, the next request of a poll) get the ids that the SDK expects, which counts by
the same rule. What has an id but no scheduling event in the history is new.

::

    _main ── begins ──► _Wait ◄── finished by an event of the history
       ▲                  │
       └──── resumed ─────┘       strands: generators that wait for a _Wait, and are one themselves

What fails to begin is a failed task to the host, and nothing at all to the SDK, which does not hear of it. So such an
error is kept, and ends the orchestration where nothing is left that could wake it; the reference lets it hang.

Source: Durable Task extension, OutOfProcOrchestrationShim; DurableTask.Core, TaskOrchestrationContext and
RetryInterceptor.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from taskhub.core.entity_sorter import MessageSorter
from taskhub.model.action_list import (
    Answer,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNew,
    EntityMessage,
    Impossible,
    ListedAction,
    ListedOperation,
    LockEntities,
    ReleaseEntities,
    RetryOptions,
    SignalEntity,
    WaitForEvent,
    WaitForTimer,
    WhenAll,
    WhenAny,
)
from taskhub.model.actions import CreateTimer, ScheduleActivity, StartSubOrchestration
from taskhub.model.entities import Release, Request, SorterState, Stamp
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskhub.model.entities import EntityId
    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import ExecutionId, InstanceId

HTTP_ACTIVITY = "BuiltIn::HttpActivity"
_ACCEPTED = 202
_REQUEST_IDS = uuid.UUID("9e952959-5e33-4daf-827f-2fa12937b875")
"""Name space of the ids of requests to entities; the extension's."""
_YEAR_ONE = Utc("0001-01-01T00:00:00Z")


@dataclass(frozen=True, slots=True)
class ListRules:
    """Settings that carrying out a list depends on."""

    long_timer_limit: timedelta
    """Timers further ahead are split, or refused in an old schema; zero: never."""
    long_timer_leg: timedelta
    entity_window_seconds: float
    """How far back entities keep the order of messages."""
    http_poll: timedelta
    """Between two requests where the answer names no time."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of a list."""

    operations: tuple[ListedOperation, ...]
    """Those that are not in the history, in ascending order of ids."""
    next_task_id: int
    is_over: bool
    """All of the list is done, and nothing is open."""
    open_tasks: frozenset[int] = frozenset()
    """Ids of the activities, children and timers that an execution waits for before it ends, whatever its code did."""
    restart: ContinueAsNew | None = None
    kept_events: tuple[EventRaised, ...] = ()
    """Came after the list had continued as new: they are the next generation's."""
    error: str | None = None
    """The list cannot be carried out: the orchestration fails with this text."""
    is_disagreeing: bool = False
    """The error is that the history tells of something else."""


def carry_out(answer: Answer, history: Iterable[HistoryEvent], rules: ListRules) -> Carried:
    """Run a list against a history.

    Args:
        answer: of the code, over the same history.
        history: all of the execution.
        rules: settings.
    """
    run = _Run(answer, rules)
    try:
        run.feed(history)
    except _Refused as refused:
        return run.carried(error=str(refused))
    except _Disagreement as disagreement:
        return Carried((), run.next_task_id, is_over=True, error=str(disagreement), is_disagreeing=True)
    return run.carried()


class _Refused(Exception):
    """Something of the list cannot begin, and the extension says so."""


class _Disagreement(Exception):
    """The history tells of something that the list does not begin."""


class _Wait:
    """Something that will be over, with a value or an error."""

    __slots__ = ("_waiting", "error", "is_over", "value")

    def __init__(self) -> None:
        self.is_over = False
        self.error: str | None = None
        self.value: str | None = None
        self._waiting: list[_Strand] = []

    def wake(self, strand: _Strand) -> None:
        """Resume a strand once this is over."""
        self._waiting.append(strand)

    def finish(self, ready: deque[_Strand], *, value: str | None = None, error: str | None = None) -> None:
        """Be over, once."""
        if not self.is_over:
            self.is_over, self.value, self.error = True, value, error
            ready.extend(self._waiting)


_Steps = Generator[_Wait, None, "_Wait | None"]
"""Yields what it waits for; returns what its own end is that of, ``None`` for an end without a value."""


class _Strand(_Wait):
    """Steps on their way; over when they are."""

    __slots__ = ("_steps",)

    def __init__(self, steps: _Steps) -> None:
        super().__init__()
        self._steps = steps

    def run(self, ready: deque[_Strand]) -> None:
        """Take steps to the next wait that is not over."""
        try:
            wait = next(self._steps)
            while wait.is_over:
                wait = next(self._steps)
        except StopIteration as stop:
            end: _Wait | None = stop.value
            if end is None:
                self.finish(ready)
            else:
                self.finish(ready, value=end.value, error=end.error)
        else:
            wait.wake(self)


@dataclass(slots=True)
class _Begun:
    """An operation that has an id."""

    operation: ListedOperation
    wait: _Wait | None
    """``None``: nobody waits for it."""
    is_recorded: bool = False


_Begin = Callable[[], _Wait]


class _Run:
    """One run of a list."""

    def __init__(self, answer: Answer, rules: ListRules) -> None:
        self._answer = answer
        self._rules = rules
        self._begun: list[_Begun] = []
        self._ready: deque[_Strand] = deque()
        self._main = _Strand(self._all_groups())
        self._clock = _YEAR_ONE
        self._started: ExecutionStarted | None = None
        self._restart: ContinueAsNew | None = None
        self._kept: list[EventRaised] = []
        self._unbegun: str | None = None
        self._arrived: dict[str, deque[EventRaised]] = {}
        self._awaited: dict[str, list[_Wait]] = {}
        self._requests = 0
        self._sorter = MessageSorter(SorterState(), window_seconds=rules.entity_window_seconds)
        self._lock: str | None = None
        self._held: list[EntityId] = []
        self._is_granted = False
        self._calling: set[EntityId] = set()

    @property
    def next_task_id(self) -> int:
        """The id that the next operation gets."""
        return len(self._begun)

    def feed(self, history: Iterable[HistoryEvent]) -> None:
        """Process events in order; everything that can go on after one of them does."""
        for event in history:
            handler = _HANDLERS.get(type(event))
            if handler is None:
                continue
            handler(self, event)
            while self._ready:
                self._ready.popleft().run(self._ready)

    def carried(self, error: str | None = None) -> Carried:
        """Return what came of it."""
        open_tasks = frozenset(
            task_id for task_id, begun in enumerate(self._begun) if begun.wait is not None and not begun.wait.is_over
        )
        waits_for_events = any(self._awaited.values())
        if error is None and not open_tasks and not waits_for_events and not self._answer.is_done:
            error = self._unbegun  # nothing else can happen any more
        is_over = not open_tasks and (self._main.is_over or error is not None)
        if is_over and error is None and self._answer.error is None and (self._restart or self._answer.is_done):
            self.begin_release(ReleaseEntities())
        return Carried(
            tuple(begun.operation for begun in self._begun if not begun.is_recorded),
            self.next_task_id,
            is_over=is_over,
            open_tasks=open_tasks,
            restart=self._restart,
            kept_events=tuple(self._kept),
            error=error,
        )

    # ---- events

    def orchestrator_started(self, event: OrchestratorStarted) -> None:
        self._clock = max(self._clock, event.timestamp, key=Utc.padded)

    def execution_started(self, event: ExecutionStarted) -> None:
        self._started = event
        self._ready.append(self._main)

    def completed(self, event: TaskCompleted | SubOrchestrationCompleted) -> None:
        self._finish(event.task_scheduled_id, value=event.result)

    def failed(self, event: TaskFailed | SubOrchestrationFailed) -> None:
        self._finish(event.task_scheduled_id, error=event.reason or "")

    def fired(self, event: TimerFired) -> None:
        self._finish(event.timer_id)

    def raised(self, event: EventRaised) -> None:
        if self._restart is not None:
            self._kept.append(event)
            return
        name = event.name.lower()
        waiting = self._awaited.get(name)
        if waiting:
            # The latest comes first, as in the SDK.
            waiting.pop().finish(self._ready, value=event.input)
        else:
            self._arrived.setdefault(name, deque()).append(event)

    def scheduled(self, event: TaskScheduled | SubOrchestrationCreated | TimerCreated | EventSent) -> None:
        begun = self._begun[event.event_id] if 0 <= event.event_id < len(self._begun) else None
        if begun is None or not _agree(event, begun.operation):
            raise _Disagreement(_disagreement(event))
        begun.is_recorded = True

    def _finish(self, task_id: int, *, value: str | None = None, error: str | None = None) -> None:
        begun = self._begun[task_id] if 0 <= task_id < len(self._begun) else None
        if begun is not None and begun.wait is not None:
            begun.wait.finish(self._ready, value=value, error=error)

    # ---- the list

    def _all_groups(self) -> _Steps:
        for group in self._answer.groups:
            waits = [self._begin(action) for action in group]
            yield waits[0] if len(waits) == 1 else self._spawn(self._first_of(waits))
        return None

    def _begin(self, action: ListedAction) -> _Wait:
        return _BEGINNERS[type(action)](self, action)

    def _spawn(self, steps: _Steps) -> _Wait:
        strand = _Strand(steps)
        strand.run(self._ready)  # at once to its first wait, as a .NET task
        return strand

    def _operation(self, operation: ListedOperation, *, is_awaited: bool = True) -> _Wait:
        wait = _Wait()
        if not is_awaited:
            wait.finish(self._ready)
        self._begun.append(_Begun(operation, wait if is_awaited else None))
        return wait

    def _not_begun(self, error: str) -> _Wait:
        """Keep why something cannot begin; to the list it has failed."""
        if self._unbegun is None:
            self._unbegun = error
        wait = _Wait()
        wait.finish(self._ready, error=error)
        return wait

    def begin_impossible(self, action: Impossible) -> _Wait:
        raise _Refused(action.error)

    def begin_all(self, action: WhenAll) -> _Wait:
        return self._spawn(self._all_of([self._begin(child) for child in action.children]))

    def begin_any(self, action: WhenAny) -> _Wait:
        return self._spawn(self._first_of([self._begin(child) for child in action.children]))

    def _all_of(self, waits: Sequence[_Wait]) -> _Steps:
        yield from waits
        return next((wait for wait in waits if wait.error is not None), None)

    def _first_of(self, waits: Sequence[_Wait]) -> _Steps:
        over = next((wait for wait in waits if wait.is_over), None)
        if over is None and waits:
            first = _Wait()
            for wait in waits:
                self._spawn(self._tell(wait, first))
            yield first
        return None

    def _tell(self, wait: _Wait, first: _Wait) -> _Steps:
        yield wait
        first.finish(self._ready)
        return None

    def begin_restart(self, action: ContinueAsNew) -> _Wait:
        self._restart = action
        wait = _Wait()
        wait.finish(self._ready)
        return wait

    # ---- activities, children, retries

    def begin_activity(self, action: CallActivity) -> _Wait:
        def attempt() -> _Wait:
            return self._operation(ScheduleActivity(self.next_task_id, action.name, f"[{action.input}]"))

        return self._with_retry(attempt, action.retry)

    def begin_child(self, action: CallSubOrchestrator) -> _Wait:
        if self._held:
            return self._not_begun("While holding locks, cannot call suborchestrators.")

        def attempt() -> _Wait:
            return self._operation(
                StartSubOrchestration(self.next_task_id, action.name, action.instance_id, action.input, action.version)
            )

        return self._with_retry(attempt, action.retry)

    def _with_retry(self, attempt: _Begin, retry: RetryOptions | None) -> _Wait:
        if retry is None:
            return attempt()
        limit = self._rules.long_timer_limit
        longest = retry.max_interval or timedelta()
        if limit and max(retry.first_interval, longest) > limit:
            return self._not_begun(
                f"The Azure Storage provider supports a maximum of {limit.days} days for time-based delays"
            )
        return self._spawn(self._attempts(attempt, retry))

    def _attempts(self, attempt: _Begin, retry: RetryOptions) -> _Steps:
        first = self._now()
        for number in range(retry.max_attempts):
            last = attempt()
            yield last
            if last.error is None:
                return last
            if number + 1 == retry.max_attempts:
                # The SDK waits for this timer, which old histories have.
                yield self._operation(CreateTimer(self.next_task_id, Utc.of(self._now())))
                return last
            if retry.timeout is not None and self._now() - first >= retry.timeout:
                return last
            wait = self._retry_wait(retry, number)
            yield self._operation(CreateTimer(self.next_task_id, Utc.of(self._now() + wait)))
        return None

    def _retry_wait(self, retry: RetryOptions, number: int) -> timedelta:
        longest = retry.max_interval or self._rules.long_timer_limit or timedelta(days=6)
        try:
            return min(retry.first_interval * retry.backoff**number, longest)
        except OverflowError:
            return longest

    # ---- timers

    def begin_timer(self, action: WaitForTimer) -> _Wait:
        limit = self._rules.long_timer_limit
        if not limit or action.fire_at - self._now() <= limit:
            return self._leg(action.fire_at, is_cancelled=action.is_cancelled)
        if not self._answer.splits_timers:
            raise _Refused(
                f"The Azure Storage provider supports a maximum of {limit.days} days for time-based delays "
                "(Parameter 'fireAt')"
            )
        if action.is_cancelled:
            return self._leg(self._now() + self._rules.long_timer_leg, is_cancelled=True)
        return self._spawn(self._legs(action.fire_at))

    def _legs(self, fire_at: datetime) -> _Steps:
        leg = self._rules.long_timer_leg
        yield self._leg(self._now() + leg)
        while fire_at > self._now():
            yield self._leg(min(self._now() + leg, fire_at))
        return None

    def _leg(self, fire_at: datetime, *, is_cancelled: bool = False) -> _Wait:
        return self._operation(CreateTimer(self.next_task_id, Utc.of(fire_at)), is_awaited=not is_cancelled)

    def _now(self) -> datetime:
        return self._clock.moment()

    # ---- events

    def begin_event(self, action: WaitForEvent) -> _Wait:
        return self._event(action.name)

    def _event(self, name: str) -> _Wait:
        wait = _Wait()
        arrived = self._arrived.get(name.lower())
        if arrived:
            wait.finish(self._ready, value=arrived.popleft().input)
        else:
            self._awaited.setdefault(name.lower(), []).append(wait)
        return wait

    # ---- entities

    def begin_call(self, action: CallEntity) -> _Wait:
        problem = self._why_not_call(action.entity)
        if problem is not None:
            return self._not_begun(problem)
        return self._spawn(self._call(action))

    def _call(self, action: CallEntity) -> _Steps:
        request = self._request(action.operation, action.input)
        self._send(request, action.entity)
        self._calling.add(action.entity)
        answer = self._event(request.id)
        yield answer
        self._calling.discard(action.entity)
        if action.entity in self._held:
            # A release goes to those that were called last.
            self._held.remove(action.entity)
            self._held.append(action.entity)
        return answer

    def begin_signal(self, action: SignalEntity) -> _Wait:
        if action.entity in self._held:
            raise _Refused("While holding locks, cannot signal entities whose lock is held.")
        request = self._request(action.operation, action.input, is_signal=True, due=action.due)
        return self._send(request, action.entity)

    def begin_lock(self, action: LockEntities) -> _Wait:
        if self._held:
            return self._not_begun("Cannot acquire more locks when already holding some locks.")
        return self._spawn(self._locked(action))

    def _locked(self, action: LockEntities) -> _Steps:
        request = self._request(None, None, lock_set=action.entities)
        self._lock, self._held, self._is_granted = request.id, list(action.entities), False
        self._send(request, action.entities[0])
        yield self._event(request.id)
        self._is_granted = True
        return None

    def begin_release(self, action: ReleaseEntities) -> _Wait:
        parent, _ = self._sender()
        wait = _Wait()
        wait.finish(self._ready)
        for entity in self._held:
            release = Release(parent, self._lock or "")
            wait = self._operation(EntityMessage(self.next_task_id, entity.instance_id, release), is_awaited=False)
        self._lock, self._held = None, []
        return wait

    def _why_not_call(self, entity: EntityId) -> str | None:
        if not self._held:
            return None
        if not self._is_granted:
            return "Must await the completion of the lock request prior to calling any entity."
        if entity not in self._held:
            return "Must not call an entity from a critical section if it is not one of the locked entities."
        if entity in self._calling:
            return "Must not call an entity from a critical section while a prior call to it is still pending."
        return None

    def _request(
        self,
        operation: str | None,
        input_text: str | None,
        *,
        is_signal: bool = False,
        due: Utc | None = None,
        lock_set: tuple[EntityId, ...] | None = None,
    ) -> Request:
        parent, execution_id = self._sender()
        now = self._clock.padded()
        request_id = str(uuid.uuid5(_REQUEST_IDS, f"{parent}_{now}_{self._requests}"))
        self._requests += 1
        return Request(
            id=request_id,
            operation=operation,
            is_signal=is_signal,
            input=input_text,
            parent=parent,
            parent_execution=execution_id,
            due=due,
            lock_set=lock_set,
            extra={} if lock_set is not None else {"requestTime": f"{now[:-1]}+00:00"},
        )

    def _send(self, request: Request, entity: EntityId) -> _Wait:
        target = entity.instance_id
        if request.due is None:
            request = self._sorter.label(request, target, Stamp.of(self._clock))
        return self._operation(EntityMessage(self.next_task_id, target, request), is_awaited=False)

    def _sender(self) -> tuple[InstanceId, ExecutionId | None]:
        if self._started is None:
            raise ValueError("nothing of a list begins before its execution")
        return self._started.instance.instance_id, self._started.instance.execution_id

    # ---- HTTP

    def begin_http(self, action: CallHttp) -> _Wait:
        def attempt() -> _Wait:
            return self._request_http(action.request)

        if not action.polls:
            return self._with_retry(attempt, action.retry)
        return self._spawn(self._polled(action, attempt))

    def _request_http(self, request: Mapping[str, object]) -> _Wait:
        return self._operation(ScheduleActivity(self.next_task_id, HTTP_ACTIVITY, _json([request])))

    def _polled(self, action: CallHttp, attempt: _Begin) -> _Steps:
        request = action.request
        last = self._with_retry(attempt, action.retry)
        yield last
        while last.error is None:
            answer = json.loads(last.value or "{}")
            if answer.get("statusCode") != _ACCEPTED:
                break
            headers = {str(name).lower(): value for name, value in (answer.get("headers") or {}).items()}
            wait = self._rules.http_poll
            if str(headers.get("retry-after", "")).isdigit():
                wait = timedelta(seconds=int(headers["retry-after"]))
            yield self._operation(CreateTimer(self.next_task_id, Utc.of(self._now() + wait)))
            if "location" not in headers:
                missing = _Wait()
                missing.finish(self._ready, error="The given key 'Location' was not present in the dictionary.")
                return missing
            request = _poll(request, headers["location"])
            last = self._request_http(request)
            yield last
        return last


def _poll(asked: Mapping[str, object], location: str) -> Mapping[str, object]:
    """Return the request that follows one that was accepted: no secrets go to another origin."""
    before = str(asked["uri"])
    uri = urljoin(before, location)
    is_same = urlsplit(before)[:2] == urlsplit(uri)[:2]
    dropped = {"x-functions-key"} if is_same else {"x-functions-key", "authorization", "cookie"}
    headers = asked.get("headers")
    kept = (
        {name: each for name, each in headers.items() if name.lower() not in dropped}
        if isinstance(headers, dict)
        else {}
    )
    return {
        **asked,
        "method": "GET",
        "uri": uri,
        "headers": kept,
        "content": None,
        "tokenSource": asked.get("tokenSource") if is_same else None,
        "retryOptions": None,
    }


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# ---- history against list


def _agree(
    event: TaskScheduled | SubOrchestrationCreated | TimerCreated | EventSent, operation: ListedOperation
) -> bool:
    match event, operation:
        case TaskScheduled(), ScheduleActivity():
            return event.name == operation.name
        case SubOrchestrationCreated(), StartSubOrchestration():
            return event.name == operation.name
        case TimerCreated(), CreateTimer():
            return True
        case EventSent(), EntityMessage():
            return event.instance_id == operation.target
    return False


def _disagreement(event: TaskScheduled | SubOrchestrationCreated | TimerCreated | EventSent) -> str:
    match event:
        case TaskScheduled():
            what = f"an activity task with sequence ID {event.event_id} and name '{event.name}' (version '')"
        case SubOrchestrationCreated():
            what = f"a sub-orchestration task with sequence ID {event.event_id} and name '{event.name}'"
        case TimerCreated():
            what = f"a timer task with sequence ID {event.event_id}"
        case EventSent():
            what = f"a message with sequence ID {event.event_id} and name '{event.name}' to '{event.instance_id}'"
    return (
        f"Non-Deterministic workflow detected: A previous execution of this orchestration scheduled {what}, but the "
        "current replay execution hasn't (yet?) scheduled this task. Was a change made to the orchestrator code after "
        "this instance had already started running?"
    )


_HANDLERS: dict[type, Callable[..., None]] = {
    OrchestratorStarted: _Run.orchestrator_started,
    ExecutionStarted: _Run.execution_started,
    TaskScheduled: _Run.scheduled,
    TaskCompleted: _Run.completed,
    TaskFailed: _Run.failed,
    SubOrchestrationCreated: _Run.scheduled,
    SubOrchestrationCompleted: _Run.completed,
    SubOrchestrationFailed: _Run.failed,
    TimerCreated: _Run.scheduled,
    TimerFired: _Run.fired,
    EventSent: _Run.scheduled,
    EventRaised: _Run.raised,
}
_BEGINNERS: dict[type, Callable[..., _Wait]] = {
    CallActivity: _Run.begin_activity,
    CallSubOrchestrator: _Run.begin_child,
    CallHttp: _Run.begin_http,
    WaitForTimer: _Run.begin_timer,
    WaitForEvent: _Run.begin_event,
    CallEntity: _Run.begin_call,
    SignalEntity: _Run.begin_signal,
    LockEntities: _Run.begin_lock,
    ReleaseEntities: _Run.begin_release,
    ContinueAsNew: _Run.begin_restart,
    WhenAll: _Run.begin_all,
    WhenAny: _Run.begin_any,
    Impossible: _Run.begin_impossible,
}
