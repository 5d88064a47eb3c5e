"""Deliberate differences in how tasks are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay import actions, executor, tasks
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.tasks import TaskState

from tests.support.mends.mending import Mend, is_back

if TYPE_CHECKING:
    from collections.abc import Iterator

PARENT = "a task in two compounds"
TWICE = "a task twice in one compound, or started between making and yielding the compound"
GOES_ON = "a compound whose children go on after it has failed"
OLD_RESULTS = "`is_replaying` after a wait that an early event satisfies"
ONLY_TASKS = "something that is no task in `task_all`, `task_any`"

_SUCCEEDED = TaskState.SUCCEEDED

_make_all = tasks.WhenAllTask.__init__
_start = executor.Executor._start
_make_compound = tasks.CompoundTask.__init__


def _empty_is_none(self: Any, task: Any, replay_schema: Any) -> None:
    _make_all(self, task, replay_schema)
    if not self.children:
        self.result = None


def _take_children(self: Any, children: Any, constructor: Any = None) -> None:
    """Be the only parent, and note what was not started now."""
    for child in children:
        if is_back(ONLY_TASKS) and not isinstance(child, tasks.TaskBase):
            raise AttributeError(f"'{type(child).__name__}' object has no attribute 'parent'")
        if is_back(PARENT):
            child._parents = ()
    _make_compound(self, children, constructor)
    if is_back(TWICE):
        self._unstarted = [child for child in self.children if not child._started]


def _follow_with(self: Any, child: Any) -> None:
    """Take a timer that has fired before it was set for a success."""
    self.children[1:] = [child]
    child._start(self._starter)
    if child.is_completed:
        self._complete(_SUCCEEDED, child.result, child.is_played)
    else:
        child._parents = (self,)


def _tell_parents(self: Any) -> None:
    for parent in self._parents:
        _hear_of(parent, self)


def _hear_of(self: Any, child: Any) -> None:
    """Take every child's event for the one that decides whether the result is old."""
    if is_back(GOES_ON):
        _hear_again(self, child)
    elif not self.is_completed:
        self.try_set_value(child)
    if is_back(OLD_RESULTS):
        self.is_played = child.is_played


def _hear_again(self: Any, child: Any) -> None:
    """Stumble over a child that reports again; a compound may change its mind after it has failed."""
    if isinstance(self, (tasks.RetryAbleTask, tasks.LongTimerTask)):
        if not self.is_completed:
            self.try_set_value(child)
        return
    # Ours has no such set where one is enough for all; tasks have room for more.
    left = self.__dict__.setdefault("left", set(self.children))
    if child not in left:
        raise Exception(completed_twice(child))
    left.remove(child)
    if isinstance(self, tasks.WhenAnyTask):
        if not self.is_completed:
            self._complete(_SUCCEEDED, child, child.is_played)
    elif child.state is TaskState.FAILED:
        self._complete(TaskState.FAILED, child.result, child.is_played)
    elif not left:
        _complete_again(self, _SUCCEEDED, [each.result for each in self.children], child.is_played)


def _complete_again(self: Any, state: TaskState, result: Any, is_played: bool) -> None:
    self.state = TaskState.RUNNING
    self._complete(state, result, is_played)


def completed_twice(task: Any) -> str:
    """Return the error of a compound that hears of a child again."""
    is_compound = isinstance(task, tasks.CompoundTask) and not isinstance(task, tasks.LongTimerTask)
    named = -1 if is_compound else task.id
    return (
        f"Parent Task -1 does not have pending sub-task with ID {named}."
        f"This most likely means that Task {named} completed twice."
    )


_fresh: set[Any] = set()
"""Leaves that nothing had started when the code yielded."""


def _start_noted(self: Any, starter: Any) -> Any:
    """Listen for a fresh event as often as it is there; send what was not started when this was made, as often."""
    self._started = True
    for child in self.children:
        if child._started:
            _listen_again(child, starter)
        else:
            child._start(starter)
    found = [action for child in getattr(self, "_unstarted", []) for action in sent(child)]
    if not found or self._make_action is None:
        return None
    self.action_repr = self._make_action(found)
    return self.action_repr


def _start_unless_scheduled(self: Any, task: Any) -> None:
    """Leave alone what has only scheduled tasks in it, however it was when it was made."""
    if _is_scheduled(task):
        task._started = True
        return
    _fresh.update(leaf for leaf in _leaves(task) if not leaf._started)
    try:
        _start(self, task)
    finally:
        _fresh.clear()


def _leaves(task: Any) -> Iterator[Any]:
    children = getattr(task, "children", ())
    if not children:
        yield task
    for child in children:
        yield from _leaves(child)


def _is_scheduled(task: Any) -> bool:
    if isinstance(task, tasks.CompoundTask) and not isinstance(task, tasks.RetryAbleTask):
        return all(map(_is_scheduled, task.children))
    return bool(task._started)


def _listen_again(task: Any, starter: Any) -> None:
    for leaf in _leaves(task):
        if leaf in _fresh and isinstance(leaf, tasks.ExternalEventTask) and not leaf.is_completed:
            starter.listen(leaf)


def sent(task: Any) -> list[Any]:
    """Return the action that a task goes out with, once more."""
    if not isinstance(task.action_repr, actions.Action):
        return []  # an empty compound
    if isinstance(task, tasks.RetryAbleTask) and task._context._replay_schema is not ReplaySchema.V1:
        return [actions.WhenAllAction([task.action_repr])]
    return [task.action_repr]


HEARING = ((tasks.TaskBase, "_tell_parents", _tell_parents), (tasks.CompoundTask, "handle_completion", _hear_of))

MENDS: tuple[Mend, ...] = (
    Mend("`task_all([])`", ((tasks.WhenAllTask, "__init__", _empty_is_none),)),
    Mend(GOES_ON, HEARING),
    Mend("a retry's timer that fired before it was set", ((tasks.RetryAbleTask, "_follow_with", _follow_with),)),
    Mend(ONLY_TASKS, ((tasks.CompoundTask, "__init__", _take_children),)),
    Mend(PARENT, ((tasks.CompoundTask, "__init__", _take_children),)),
    Mend(
        TWICE,
        (
            (tasks.CompoundTask, "__init__", _take_children),
            (tasks.CompoundTask, "_start", _start_noted),
            (executor.Executor, "_start", _start_unless_scheduled),
        ),
    ),
    Mend(
        "classes of tasks",
        tuple(
            (kind, "__name__", "AtomicTask")
            for kind in (tasks.EntityCallTask, tasks.ExternalEventTask, tasks.SubOrchestrationTask)
        ),
    ),
)
