"""The activities that an agent calls: found in the history by their order, or waited for.

They are called one after the other, so the n-th call has the n-th completion of an activity in the history, those left
out that the orchestrator's code yields by itself. Failed attempts have events of another kind.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.history import HistoryEventType
from azure.durable_functions._serialization import df_loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azure.durable_functions._replay.context import DurableOrchestrationContext
    from azure.durable_functions._replay.retry import RetryOptions
    from azure.durable_functions._replay.tasks import TaskBase


class Pending(BaseException):
    """An activity that the history does not know as completed: the run is abandoned until it is.

    No ``Exception``, so that neither the agents library nor user code takes it for a failure.

    Args:
        task: what to wait for.
    """

    def __init__(self, task: TaskBase) -> None:
        super().__init__(f"waits for {task!r}")
        self.task = task


class Calls:
    """The calls of agents in one run of an orchestrator's code, counted from its start.

    Args:
        context: the orchestration's.
        model_retry_options: how model calls are tried again; ``None`` for once.
    """

    def __init__(self, context: DurableOrchestrationContext, model_retry_options: RetryOptions | None) -> None:
        self.context = context
        self.model_retry_options = model_retry_options
        events = list(context._raw_history)
        starts = [n for n, event in enumerate(events) if event["EventType"] == HistoryEventType.ORCHESTRATOR_STARTED]
        self._first_new = starts[-1] if starts else 0
        self._completed = [
            (n, event) for n, event in enumerate(events) if event["EventType"] == HistoryEventType.TASK_COMPLETED
        ]
        self._count = 0
        self._of_code: list[TaskBase] = []
        self._waits: list[TaskBase] = []
        self._has_new_result = False

    @property
    def is_replaying(self) -> bool:
        """Whether the code that runs now has run before.

        The engine's own answer is that of the event at which it resumed the code; what the code has been told since
        then, out of the rest of the history, may be news.
        """
        return self.context.is_replaying and not self._has_new_result

    def note(self, task: Any) -> None:
        """Take note of what the code yields by itself."""
        self._of_code.append(task)

    def result_of(self, task: TaskBase) -> Any:
        """Return the result of an activity that an agent calls.

        Raises:
            Pending: there is none yet.
        """
        others = {leaf.id for each in self._of_code for leaf in _leaves(each)}
        completed = (found for found in self._completed if found[1]["TaskScheduledId"] not in others)
        position, event = next(islice(completed, self._count, None), (0, None))
        self._count += 1
        if event is None:
            raise Pending(task)
        self._has_new_result = self._has_new_result or position > self._first_new
        self._waits.append(task)
        return _decoded(event)

    def waits(self) -> Iterator[TaskBase]:
        """Yield the activities whose results were used, in their order: the engine has yet to hear of them."""
        waits, self._waits = self._waits, []
        for task in waits:  # noqa: UP028 (a list takes no answers)
            yield task


def _leaves(task: Any) -> Iterator[Any]:
    children = getattr(task, "children", None)
    if children is None:
        yield task
    for child in children or ():
        yield from _leaves(child)


def _decoded(event: Mapping[str, Any]) -> Any:
    text = event.get("Result")
    return None if text is None else df_loads(text)


_current: ContextVar[Calls | None] = ContextVar("durable_agent_calls", default=None)


def current_calls() -> Calls | None:
    """Return the calls of the orchestrator whose code runs now; ``None`` elsewhere, in activities say."""
    return _current.get()


@contextmanager
def running(calls: Calls) -> Iterator[None]:
    """Be in the code of an orchestrator."""
    token = _current.set(calls)
    try:
        yield
    finally:
        _current.reset(token)
