"""Tasks: what user code yields, and how they depend on each other.

A task is made by the context and *started* when it, or a compound that holds it, is first yielded: then its leaves get
their ids, depth first and left to right, and the action goes out. Leaves are completed by history events through the
executor; completing travels up to the compounds. A task completes once and never changes after.

A retried call and a long timer are compounds whose children are made one after the other: each child takes the next
id at the moment when its predecessor's event is processed, which is how the host numbers them too.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol

from azure.durable_functions._replay.actions import (
    Action,
    CreateTimerAction,
    WhenAllAction,
    WhenAnyAction,
    as_utc,
)
from azure.durable_functions._replay.foreign import no_task_error
from azure.durable_functions._replay.locks import EntityLock, locking_error
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.typevars import R_co
from azure.durable_functions.errors import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime, timedelta

    from azure.durable_functions._replay.locks import CriticalSection
    from azure.durable_functions._replay.retry import RetryOptions
    from azure.durable_functions.errors import LockingRulesError


class TaskState(Enum):
    """Whether a task has a result."""

    RUNNING = 0
    SUCCEEDED = 1
    FAILED = 2


# Reading a member off an Enum class costs more than anything else on the hot path.
_RUNNING = TaskState.RUNNING
_SUCCEEDED = TaskState.SUCCEEDED
_FAILED = TaskState.FAILED


class Starter(Protocol):
    """What tasks need of the executor."""

    def open(self, task: TaskBase) -> None:
        """Give a leaf its id and wait for its event."""

    def listen(self, task: ExternalEventTask) -> None:
        """Wait for an external event by name."""

    def request(self, task: EntityCallTask) -> None:
        """Give a leaf its id and wait for an entity's answer."""

    def record(self, action: Action) -> None:
        """Send an action that belongs to no new step of user code."""

    @property
    def now(self) -> datetime:
        """The orchestration's clock."""

    @property
    def ticks(self) -> int:
        """The same, exactly: in units of 100 ns."""

    def on_race_over(self, action: WhenAnyAction) -> None:
        """Take note of a race that is decided."""

    def keep_order(self) -> None:
        """Have the host wait for the winners of the races so far, as the code did."""

    @property
    def section(self) -> CriticalSection | None:
        """The critical section that the code is in, or about to enter."""

    retries: int
    """How many timers and further attempts of retried calls have been started so far."""


class TimerLimits(Protocol):
    """The host's limits for one timer."""

    @property
    def longest(self) -> timedelta: ...

    @property
    def leg(self) -> timedelta: ...


class TaskBase(Generic[R_co]):
    """Something that user code can wait for: with ``await``, ``yield`` or ``yield from``.

    ``TaskBase[str]`` is one whose result is a text. Of ``await task`` and ``yield from task`` type checkers know the
    type; the value of a plain ``yield`` is anything to them.

    Attributes:
        id: task id once started; an event's name, or a retried call's first id.
        state: running, succeeded or failed.
        result: the value, or the exception of a failed task.
        parent: a compound that holds it and is not complete.
        is_played: whether the event that completed it was seen by an earlier episode.
        action_repr: what it asks of the host.

    Args:
        id_: its id, where that is known before it is started.
        actions: what it asks of the host.
    """

    __slots__ = ("__dict__", "__weakref__", "_parents", "_started", "action_repr", "id", "is_played", "result", "state")

    def __init__(self, id_: int | str | None, actions: list[Action] | Action) -> None:
        self.id: Any = id_
        self.action_repr: Any = actions
        self.state: TaskState = _RUNNING
        self.result: R_co = None  # type: ignore[assignment]  # until it is complete
        self.is_played: bool = False
        self._started = False
        self._parents: tuple[CompoundTask, ...] = ()

    @property
    def is_completed(self) -> bool:
        """Whether there is a result, good or bad."""
        return self.state is not _RUNNING

    @property
    def parent(self) -> TaskBase | None:
        """A compound that waits for this task."""
        return self._parents[-1] if self._parents else None

    def set_is_played(self, is_played: bool) -> None:
        """Say whether an earlier episode has seen the completing event.

        Args:
            is_played: whether it has.
        """
        self.is_played = is_played

    def change_state(self, state: TaskState) -> None:
        """Set the state without a result.

        Args:
            state: how the task has ended.

        Raises:
            ValueError: the state is RUNNING.
        """
        if state is _RUNNING:
            raise ValueError("Cannot change Task to the RUNNING state.")
        self.state = state

    def set_value(self, is_error: bool, value: Any) -> None:
        """Set the result, without telling the compounds that hold the task; for tests of apps.

        Args:
            is_error: whether the task has failed.
            value: the result, or the exception of a failed task.
        """
        self.state = _FAILED if is_error else _SUCCEEDED
        self.result = value

    def propagate(self) -> None:
        """Tell the compounds that hold the task that it is complete."""
        self._tell_parents()

    def _tell_parents(self) -> None:
        for parent in self._parents:
            if parent.state is _RUNNING:
                parent.try_set_value(self)

    def _complete(self, state: TaskState, result: Any, is_played: bool) -> None:
        """Set the result once and tell whoever waits."""
        if self.state is not _RUNNING:
            return
        self.state = state
        self.result = result
        self.is_played = is_played
        if self._parents:
            self._tell_parents()

    def _start(self, starter: Starter) -> Action | None:
        """Start what has not been started, once; return the action to send, if any."""
        raise NotImplementedError(f"{type(self).__name__} cannot be started")

    def _is_over_for_host(self) -> bool:
        """Whether the host too has nothing left to wait for here."""
        return self.is_completed

    def _leaf_actions(self) -> Iterable[Action]:
        """Return the actions of all leaves, started now or before, as the first schema sends them."""
        return (self.action_repr,)

    def __await__(self) -> Generator[TaskBase, Any, R_co]:
        return (yield self)  # type: ignore[no-any-return]  # what the executor sends is the task's result

    def __iter__(self) -> Generator[TaskBase, Any, R_co]:
        value = yield self
        # Whoever waits with `yield from` is not resumed before there is a result.
        if value is None and self.state is _RUNNING:
            raise TypeError(f"{self!r} was iterated over. Its result is what `yield` or `yield from` gives for it.")
        return value  # type: ignore[no-any-return]  # as above

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id if self.id is not None else 'not started'} {self.state.name.lower()}>"


class AtomicTask(TaskBase[R_co]):
    """A task that one history event completes."""

    __slots__ = ("_expected_type",)

    def __init__(self, id_: int | str | None, actions: list[Action] | Action) -> None:
        super().__init__(id_, actions)
        self._expected_type: Any = None

    def _start(self, starter: Starter) -> Action | None:
        self._started = True
        starter.open(self)
        action: Action = self.action_repr
        return action


class ExternalEventTask(AtomicTask[R_co]):
    """Waits for an event by name; takes no id."""

    __slots__ = ()

    def _start(self, starter: Starter) -> Action | None:
        self._started = True
        starter.listen(self)
        action: Action = self.action_repr
        return action


class EntityCallTask(AtomicTask[R_co]):
    """Waits for an entity's answer, which arrives as an event named by the request's id."""

    __slots__ = ()

    def _start(self, starter: Starter) -> Action | None:
        self._started = True
        problem = self._why_not(starter)
        if problem is not None:
            self._complete(_FAILED, problem, False)
            return None
        starter.request(self)
        action: Action = self.action_repr
        return action

    def _why_not(self, starter: Starter) -> LockingRulesError | None:
        """Return why it cannot be started now, in a critical section."""
        section, entity = starter.section, self.action_repr.instance_id
        problem = None if section is None else section.why_not_call(entity)
        return None if problem is None else locking_error(problem, entity)


class LockTask(EntityCallTask[EntityLock]):
    """Waits until entities are locked; the result is an :class:`EntityLock`."""

    __slots__ = ()

    def _why_not(self, starter: Starter) -> LockingRulesError | None:
        if starter.section is None:
            return None
        problem = "Must not enter another critical section from within a critical section."
        return locking_error(problem, self.action_repr.instance_id)


class SubOrchestrationTask(AtomicTask[R_co]):
    """Waits for a child."""

    __slots__ = ()

    def _start(self, starter: Starter) -> Action | None:
        if starter.section is not None:
            self._started = True
            problem = "While holding locks, cannot call suborchestrators."
            self._complete(_FAILED, locking_error(problem, starter.section.entities[0]), False)
            return None
        return super()._start(starter)


class TimerTask(AtomicTask[None]):
    """Completes at a time."""

    __slots__ = ()

    def __init__(self, id_: int | str | None, action: CreateTimerAction) -> None:
        super().__init__(id_, action)

    @property
    def is_cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        action: CreateTimerAction = self.action_repr
        return action.is_cancelled

    def cancel(self) -> None:
        """Stop waiting, so that the timer does not keep the instance alive.

        Raises:
            ValueError: the timer has fired already.
        """
        if self.is_completed:
            raise ValueError("Cannot cancel a completed task.")
        self.action_repr.is_cancelled = True


class CompoundTask(TaskBase[R_co]):
    """Waits for other tasks."""

    __slots__ = ("_make_action", "children")

    def __init__(
        self, tasks: Sequence[TaskBase], compound_action_constructor: Callable[[list[Action]], Action] | None = None
    ) -> None:
        if isinstance(tasks, TaskBase):
            raise TypeError(f"A compound is made of a list of tasks, not of one task: {tasks!r}")
        super().__init__(-1, [])
        self.children: list[TaskBase] = list(tasks)
        self._make_action = compound_action_constructor
        for child in self.children:
            if not isinstance(child, TaskBase):
                raise no_task_error(child)
        pending = set(self.children)
        self._begin(pending)
        mine = (self,)
        for child in pending:
            if not child._parents:
                child._parents = mine
            else:
                # A compound that is over needs no news; dropping it keeps a task that is raced again and again small.
                child._parents = (*(parent for parent in child._parents if not parent.is_completed), self)
        for child in self.children:
            if child.state is not _RUNNING:
                self.handle_completion(child)

    def _begin(self, pending: set[TaskBase]) -> None:
        """Take the distinct children, before those that are complete already report."""

    def handle_completion(self, child: TaskBase) -> None:
        """Take note of a child that is complete."""
        if self.state is _RUNNING:
            self.try_set_value(child)

    def try_set_value(self, child: TaskBase) -> None:
        """Complete if this child decides it."""
        raise NotImplementedError(f"{type(self).__name__} does not say what completes it")

    def _start(self, starter: Starter) -> Action | None:
        self._started = True
        actions = []
        for child in self.children:
            if not child._started:
                action = child._start(starter)
                if action is not None:
                    actions.append(action)
                    self._note_action(child, action)
        if not actions or self._make_action is None:
            return None
        self.action_repr: Any = self._make_action(actions)
        return self.action_repr

    def _note_action(self, child: TaskBase, action: Action) -> None:
        """Take note of what a child asks of the host."""

    def _leaf_actions(self) -> Iterable[Action]:
        return [action for child in self.children for action in child._leaf_actions()]


class WhenAllTask(CompoundTask[R_co]):
    """Succeeds with all results in order; fails with the first failure, at once."""

    __slots__ = ("_pending",)

    def __init__(self, task: Sequence[TaskBase], replay_schema: ReplaySchema) -> None:
        super().__init__(task, WhenAllAction)
        if not self.children:
            self._complete(_SUCCEEDED, [], False)

    def _begin(self, pending: set[TaskBase]) -> None:
        self._pending = pending

    def _is_over_for_host(self) -> bool:
        # After a failure the host still waits for the others.
        return self.is_completed and all(child._is_over_for_host() for child in self.children)

    def try_set_value(self, child: TaskBase) -> None:
        if child.state is _FAILED:
            self._complete(_FAILED, child.result, child.is_played)
            return
        self._pending.discard(child)
        if not self._pending:
            self._complete(_SUCCEEDED, [each.result for each in self.children], child.is_played)


class WhenAnyTask(CompoundTask[R_co]):
    """Succeeds with the first child that is complete, however that one ended."""

    __slots__ = ("_actions", "_retries_before", "_starter")

    def __init__(self, task: Sequence[TaskBase], replay_schema: ReplaySchema) -> None:
        self._starter: Starter | None = None
        self._retries_before = 0
        self._actions: dict[TaskBase, Action] = {}
        super().__init__(task, WhenAnyAction)
        if not self.children:
            self._complete(_SUCCEEDED, None, False)

    def _start(self, starter: Starter) -> Action | None:
        action = super()._start(starter)
        self._starter = starter
        self._retries_before = starter.retries
        return action

    def _is_over_for_host(self) -> bool:
        return any(child._is_over_for_host() for child in self.children)

    def _note_action(self, child: TaskBase, action: Action) -> None:
        self._actions[child] = action

    def try_set_value(self, child: TaskBase) -> None:
        self._complete(_SUCCEEDED, child, child.is_played)
        action = self.action_repr
        if self._starter is not None and isinstance(action, WhenAnyAction):
            action._winner = self._actions.get(child) if child._is_over_for_host() else None
            action._must_wait = self._starter.retries != self._retries_before
            self._starter.on_race_over(action)


class RetryAbleTask(WhenAllTask[R_co]):
    """A call that is tried again when it fails, after a timer each time.

    The host makes timers and attempts by itself, from the options in the one action that it gets; only their ids are
    taken here, as their events pass. The last failure waits for a timer too, but not one that is last because time has
    run out: that is how the host does it.

    What the host cannot be told is ``handle``. But it reads the action anew in every episode, together with the whole
    history. So when ``handle`` refuses a failure, the action says from then on that this attempt was the last one:
    the host, and every later replay, ends the call there.

    Args:
        child: the first attempt.
        retry_options: how often, how late, after what.
        context: makes the tasks of later attempts.
    """

    __slots__ = ("_attempts", "_context", "_error", "_last_attempt", "_started_at", "_starter", "retry_options")

    def __init__(self, child: TaskBase, retry_options: RetryOptions, context: AttemptMaker) -> None:
        self.retry_options: RetryOptions = retry_options
        self._last_attempt = retry_options.max_number_of_attempts
        self._attempts = 1
        self._context = context
        self._error: Any = None
        self._starter: Starter | None = None
        self._started_at = 0
        super().__init__([child], context._replay_schema)
        self.action_repr: Any = child.action_repr

    def _is_over_for_host(self) -> bool:
        return self.is_completed

    @property
    def id_(self) -> Any:
        """Id of the current attempt or timer."""
        return self.children[-1].id

    def _start(self, starter: Starter) -> Action | None:
        self._started = True
        self._starter = starter
        if self.retry_options.retry_timeout_in_milliseconds is not None:
            self._started_at = starter.ticks
            starter.keep_order()
        action = self.children[0]._start(starter)
        self.id: Any = self.children[0].id
        if action is None:
            return None
        return action if self._context._replay_schema is ReplaySchema.V1 else WhenAllAction([action])

    def _leaf_actions(self) -> Iterable[Action]:
        return (self.action_repr,)

    def try_set_value(self, child: TaskBase) -> None:
        if child.state is _SUCCEEDED and isinstance(child, TimerTask):
            if self._attempts >= self._last_attempt:
                self._complete(_FAILED, self._error, child.is_played)
            else:
                self._attempts += 1
                self._follow_with(self._context._another_attempt(child=self.children[0]))
        elif child.state is _SUCCEEDED:
            self._complete(_SUCCEEDED, child.result, child.is_played)
        elif isinstance(child.result, TaskFailedError):
            self._on_failure(child)
        else:
            # A result that cannot be decoded: for the host the call is over.
            self._complete(_FAILED, child.result, child.is_played)

    def _on_failure(self, attempt: TaskBase) -> None:
        self._error = attempt.result
        if self._attempts < self._last_attempt and not self._is_accepted(attempt.result):
            self._last_attempt = self._attempts
            self.action_repr.retry_options = self.retry_options._limited_to(self._attempts)
        now = self._running_starter.now
        if self._attempts >= self._last_attempt:
            self._follow_with(TimerTask(None, CreateTimerAction(now)))
        elif self._time_is_up:
            self._complete(_FAILED, self._error, attempt.is_played)
        else:
            wait = self.retry_options._wait_after(self._attempts)
            self._follow_with(TimerTask(None, CreateTimerAction(now + wait)))

    def _is_accepted(self, error: TaskFailedError) -> bool:
        try:
            return self.retry_options._accepts(error)
        except Exception as broken:  # user code: what it raises is what the call gives, like any other error of theirs
            self._error = broken
            return False

    @property
    def _time_is_up(self) -> bool:
        timeout = self.retry_options.retry_timeout_in_milliseconds
        # In the host's own ticks, because a microsecond more or less would give other ids.
        return timeout is not None and self._running_starter.ticks - self._started_at >= timeout * 10_000

    @property
    def _running_starter(self) -> Starter:
        if self._starter is None:
            raise RuntimeError("The task has a result but was never started.")
        return self._starter

    def _follow_with(self, child: TaskBase) -> None:
        child._parents = (self,)
        # Only the first attempt, which holds the action, and the current child are needed.
        self.children[1:] = [child]
        self._running_starter.retries += 1
        child._start(self._running_starter)


class AttemptMaker(Protocol):
    """What a retried call needs of the context."""

    @property
    def _replay_schema(self) -> ReplaySchema:
        """Form of the actions."""

    def _another_attempt(self, child: TaskBase) -> TaskBase:
        """Return a fresh task like ``child``."""


class LongTimerTask(WhenAllTask[None]):
    """A timer beyond the host's limit, made of legs that follow each other.

    Args:
        id_: as of other tasks.
        action: the whole timer; never sent.
        orchestration_context: tells clock and limits.
    """

    __slots__ = ("_final", "_limits", "_starter")

    def __init__(self, id_: int | str | None, action: CreateTimerAction, orchestration_context: LongTimerHost) -> None:
        self._final = action
        self._limits = orchestration_context._timer_limits
        self._starter: Starter | None = None
        first = self.get_next_timer_task(action._fire_at_utc, as_utc(orchestration_context.current_utc_datetime))
        super().__init__([first], ReplaySchema.V3)
        self.id: Any = id_

    @property
    def is_cancelled(self) -> bool:
        """Whether ``cancel`` was called."""
        return self._final.is_cancelled

    def is_canceled(self) -> bool:
        """Whether ``cancel`` was called, by the reference's name."""
        return self._final.is_cancelled

    def cancel(self) -> None:
        """Stop waiting: the leg that is open is cancelled, and no other follows.

        Raises:
            Exception: the timer has fired already.
        """
        if self.is_completed:
            raise Exception("Cannot cancel a completed task.")
        self._final.is_cancelled = True
        self.children[-1].action_repr.is_cancelled = True

    def _start(self, starter: Starter) -> Action | None:
        self._starter = starter
        return super()._start(starter)

    def get_next_timer_task(self, final_fire_time: datetime, current_time: datetime) -> TimerTask:
        """Return the next leg: to the end if the limit allows, else one interval."""
        if final_fire_time - current_time > self._limits.longest:
            return TimerTask(None, CreateTimerAction(current_time + self._limits.leg))
        return TimerTask(None, CreateTimerAction(final_fire_time))

    def add_new_child(self, child_timer: TimerTask) -> None:
        """Let another leg follow; it goes out as a timer of its own."""
        if self._starter is None:
            raise RuntimeError("The timer has a result but was never started.")
        child_timer._parents = (self,)
        self.children: list[TaskBase] = [child_timer]
        self._pending = {child_timer}
        action = child_timer._start(self._starter)
        if action is not None:
            self._starter.record(action)

    def try_set_value(self, child: TaskBase) -> None:
        end = self._final._fire_at_utc
        now = as_utc(self._starter.now) if self._starter is not None else end
        goes_on = end > now and not self._final.is_cancelled
        if goes_on:
            self.add_new_child(self.get_next_timer_task(end, now))
        if child.state is TaskState.FAILED:
            # No host says so of a timer; whoever waits is better told than left waiting.
            self._complete(TaskState.FAILED, child.result, child.is_played)
        elif not goes_on:
            self._complete(_SUCCEEDED, None, child.is_played)


class LongTimerHost(Protocol):
    """What a long timer needs of the context."""

    @property
    def _timer_limits(self) -> TimerLimits:
        """The host's limits."""

    @property
    def current_utc_datetime(self) -> datetime:
        """The orchestration's clock."""
