"""The live shell: an execution kept in memory, fed with new history events, answering with decisions.

This module and ``hosting`` are all of the SDK that a task hub may import. It knows nothing of storage, clocks or
threads: times come with the events, and a call returns when user code has reached its next wait.

A session holds the running generator and a compact copy of the events. What an ``advance`` costs depends on the events
that it is given, not on those that came before.
"""

from __future__ import annotations

import json
import os
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.context import DurableOrchestrationContext, Limits
from azure.durable_functions._replay.decisions import (
    CreateTimer,
    Decisions,
    Operation,
    Outcome,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)
from azure.durable_functions._replay.entities import RequestLabels
from azure.durable_functions._replay.executor import Executor
from azure.durable_functions._replay.foreign import code_of
from azure.durable_functions._replay.functions import known_functions
from azure.durable_functions._replay.history import Clock, EventLog, HistoryEventType
from azure.durable_functions._replay.operations import operation_of
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._serialization import compact_json
from azure.durable_functions.errors import NonDeterminismError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from azure.durable_functions._replay.tasks import TaskBase

__all__ = [
    "CreateTimer",
    "Decisions",
    "Operation",
    "OrchestrationSession",
    "Outcome",
    "Raised",
    "Restarted",
    "Returned",
    "ScheduleActivity",
    "SendEvent",
    "StartSubOrchestration",
    "typed_activity",
]


_BEFORE_ALL_TIME = "0001-01-01T00:00:00Z"
_MAX_CUSTOM_STATUS_KB = 16
_PACKAGE_FOLDER = os.path.dirname(__file__) + os.sep


class OrchestrationSession:
    """One execution of one orchestrator. Not thread-safe; successive calls may come from different threads.

    Args:
        orchestrator: the registered callable (what ``Orchestrator.create`` or ``@orchestration_trigger`` made, or the
            bare user function).
        instance_id: id of the instance.
        parent_instance_id: id of the parent of a sub-orchestration.
        long_timer_limit_seconds: timers further ahead than this are made of several; 0 for no limit.
        long_timer_leg_seconds: length of each of them but the last.
        entity_reorder_window_seconds: how far back entities keep the order of our requests; 0 for not at all.
        http_poll_seconds: between two requests of a ``call_http`` that polls, where the answer names no time.
        refusal_of_id: says why an instance cannot have an id, ``None`` for one that it can; calls of such instances
            raise a ``ValueError`` in the code. By default there is no such id.
    """

    def __init__(
        self,
        orchestrator: Callable[..., Any],
        *,
        instance_id: str,
        parent_instance_id: str | None = None,
        long_timer_limit_seconds: float = 6 * 24 * 3600,
        long_timer_leg_seconds: float = 3 * 24 * 3600,
        entity_reorder_window_seconds: float = 30 * 60,
        http_poll_seconds: float = 30,
        refusal_of_id: Callable[[str], str | None] | None = None,
    ) -> None:
        handle = _handle(orchestrator)
        self._function: Callable[..., Any] = getattr(handle, "orchestrator_function", handle)
        self._input_type = getattr(handle, "_df_input_type", None)
        self._functions = known_functions(handle)
        self._refusal_of_id = refusal_of_id
        self._instance_id = instance_id
        self._parent_instance_id = parent_instance_id
        self._limits: Limits | None = None
        if long_timer_limit_seconds > 0 and long_timer_leg_seconds > 0:
            self._limits = Limits(
                timedelta(seconds=long_timer_limit_seconds), timedelta(seconds=long_timer_leg_seconds)
            )
        self._starts_over = bool(getattr(self._function, "_df_starts_over", False))
        self._reorder_window_seconds = entity_reorder_window_seconds
        self._http_poll = timedelta(seconds=http_poll_seconds)
        self._events = EventLog()
        self._reported_below = 0
        self._context: DurableOrchestrationContext | None = None
        self._execution_id: str | None = None
        self._custom_status: str | None = None
        self._outcome: Outcome | None = None
        self._make_executor()

    def _make_executor(self) -> None:
        self._unrecorded: dict[int, TaskBase] = {}
        self._executor = Executor(
            clock=Clock(_BEFORE_ALL_TIME),
            schema=ReplaySchema.V3,
            unrecorded=self._unrecorded,
            labels=RequestLabels(self._instance_id, window_seconds=self._reorder_window_seconds),
        )

    def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int = 0) -> Decisions:
        """Feed the next events of the history and run user code to its next wait.

        Every event of the history is fed exactly once and in order, over all calls together: the events of earlier
        episodes with their scheduling events (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent)
        and OrchestratorCompleted, then OrchestratorStarted and the events that arrived. A warm session is fed what
        its own last decisions became when they were committed, then the new episode. A cold one is fed everything.

        Args:
            events: raw events: the reference's property names, ``EventType`` and ``OrchestrationStatus`` as numbers,
                times as text (``extension.md`` 1.3).
            replayed: how many of ``events``, from the first, belong to episodes that ended before; user code that
                runs for them sees ``is_replaying``.

        Returns:
            The new decisions. A scheduling event in the history that the code did not ask for, or asked for with
            another kind or name, is a :class:`Raised` whose text names both sides. Exceptions of user code are
            :class:`Raised` too; after an outcome, further events change nothing.

        Raises:
            BaseException: only what is no ``Exception`` (KeyboardInterrupt, SystemExit).
        """
        if self._outcome is not None:
            return Decisions((), self._custom_status, self._outcome, self._executor.next_id)
        known = len(self._events)
        for event in events:
            self._events.append(event)
        if self._starts_over and self._context is not None:
            events, replayed = self._start_over(), known + replayed
        rest = self._feed(events, replayed)
        if self._executor.has_ended:
            self._outcome = self._how_it_ended(rest)
        return self._decide()

    def close(self) -> None:
        """Close the generator; its ``finally`` blocks run, what they yield or raise is ignored."""
        try:
            self._executor.close()
        except Exception:
            # Nobody is left who could be told: the execution is over, or moves to another worker.
            return

    def __repr__(self) -> str:
        state = "waiting" if self._outcome is None else type(self._outcome).__name__.lower()
        return f"<OrchestrationSession {self._instance_id} {state}, {len(self._events)} events>"

    def _start_over(self) -> Sequence[Mapping[str, Any]]:
        """Forget the code's state, for code that goes on only from its beginning; return all events."""
        self.close()
        self._context = None
        self._make_executor()
        return list(self._events)

    # -- feeding ----------------------------------------------------------------------------------------------------

    def _feed(self, events: Sequence[Mapping[str, Any]], replayed: int) -> Sequence[Mapping[str, Any]]:
        """Process events until the code ends; return those that are left."""
        executor = self._executor
        done = 0
        try:
            if self._context is None:
                done = self._index_of_start(events)
                executor.feed(events[:done], replayed=replayed)
                if done < len(events):
                    self._begin(events[done], is_played=done < replayed)
            if not executor.has_ended:
                done += executor.feed(events[done:], replayed=max(0, replayed - done))
        except Exception as error:  # a plain function's error, or an event that cannot be read
            executor.fail(error)
            return ()
        return events[done:]

    @staticmethod
    def _index_of_start(events: Sequence[Mapping[str, Any]]) -> int:
        start = HistoryEventType.EXECUTION_STARTED
        return next((i for i, event in enumerate(events) if event.get("EventType") == start), len(events))

    def _begin(self, started: Mapping[str, Any], *, is_played: bool) -> None:
        executor = self._executor
        executor.is_replaying = is_played or bool(started.get("IsPlayed"))
        instance = started.get("OrchestrationInstance") or {}
        self._execution_id = instance.get("ExecutionId")
        context = DurableOrchestrationContext._for_session(
            executor,
            instance_id=self._instance_id,
            parent_instance_id=self._parent_instance_id,
            input_=_parsed_once(started.get("Input")),
            limits=self._limits,
            events=self._events,
            http_poll=self._http_poll,
        )
        context._input_expected_type = self._input_type
        context._functions = self._functions
        context._refusal_of_id = self._refusal_of_id
        self._context = context
        returned = self._function(context)
        code = code_of(returned)
        if code is not None:
            executor.run(code)
        else:
            executor.finish(returned)

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _how_it_ended(self, rest: Sequence[Mapping[str, Any]]) -> Outcome:
        executor = self._executor
        executor.check_after_end(rest)
        if executor.error is not None:
            return _raised(executor.error)
        if executor.continued_as_new is not None:
            later = (event for event in rest if event["EventType"] == HistoryEventType.EVENT_RAISED)
            unprocessed = (*executor.kept_events, *later)
            return Restarted(compact_json(executor.continued_as_new.input_), unprocessed)
        if executor.output is None:
            return Returned(None)
        try:
            return Returned(compact_json(executor.output))
        except Exception as error:  # TypeError, or whatever a user's to_json raises
            return _raised(error)

    def _decide(self) -> Decisions:
        executor = self._executor
        first_new, self._reported_below = self._reported_below, executor.next_id
        try:
            self._custom_status = self._custom_status_text()
        except Exception as error:  # a status that cannot be encoded or is too large
            self._custom_status = None
            self._outcome = _raised(error)
            return Decisions((), None, self._outcome, self._first_free_id(first_new))
        try:
            operations = tuple(
                operation_of(task, self._instance_id, self._execution_id)
                for task_id, task in self._unrecorded.items()
                if task_id >= first_new
            )
        except Exception as error:  # what user code asks for cannot be encoded: a header that is no text
            self._outcome = _raised(error)
            return Decisions((), self._custom_status, self._outcome, self._first_free_id(first_new))
        return Decisions(operations, self._custom_status, self._outcome, executor.next_id)

    def _first_free_id(self, first_new: int) -> int:
        """Return the first id that is free when nothing of what the code asked for since ``first_new`` is begun."""
        return min((each for each in self._unrecorded if each >= first_new), default=self._executor.next_id)

    def _custom_status_text(self) -> str | None:
        status = None if self._context is None else self._context.custom_status
        if not status:
            return None
        text = compact_json(status)
        size_kb = len(text.encode("utf-16-le")) // 1024
        if size_kb > _MAX_CUSTOM_STATUS_KB:
            raise ValueError(
                f"The UTF-16 size of the JSON-serialized payload must not exceed {_MAX_CUSTOM_STATUS_KB} KB. "
                f"The current payload size is {size_kb} KB."
            )
        return text


def typed_activity(function: Callable[..., Any], input_name: str) -> Callable[..., Any]:
    """Return what to call in the place of an activity, so that its annotations count.

    For activities that no code of the SDK has seen: those of ``function.json``, and of apps that use
    ``azure.functions`` alone.

    Args:
        function: the activity as it was loaded, decorated or not.
        input_name: name of the binding, and of the parameter that takes the input.

    Returns:
        A function whose attribute ``activity_function`` is ``function``; ``function`` itself when its annotations ask
        for nothing but plain JSON, or when they count already.
    """
    from azure.durable_functions._typed_activities import with_types  # seldom needed

    return with_types(function, input_name)


def _handle(orchestrator: Any) -> Any:
    """Return what ``Orchestrator.create`` made, or the bare function, from whatever registered it."""
    decorated = getattr(orchestrator, "_function", None)
    return orchestrator if decorated is None else decorated._func


def _parsed_once(text: str | None) -> Any:
    """Return the input as the extension hands it over; the context decodes JSON text in it again."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # another program's start: user code sees what there is


def _raised(error: Exception) -> Raised:
    if isinstance(error, NonDeterminismError):
        return Raised(str(error), "")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_PACKAGE_FOLDER)]
    return Raised(str(error) or str(type(error)), "".join(traceback.format_list(frames)))
