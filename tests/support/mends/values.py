"""Deliberate differences in times and values, as they come in and as they go out."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import TYPE_CHECKING, Any

from azure.durable_functions import _serialization
from azure.durable_functions._replay import actions, context, shell, state, tasks
from azure.durable_functions._replay.functions import resolve_orchestrator
from azure.durable_functions._replay.retry import RetryOptions
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.tasks import TaskState
from azure.durable_functions._serialization import df_dumps, df_loads

from tests.support.answers import STRICT
from tests.support.mends.mending import Mend, is_back

if TYPE_CHECKING:
    from tests.support.mends.mending import Patch

LONG_VALUE = "the value of a timer beyond the host's limit"
UNHEARD = "cancelling such a timer"

_create_timer = context.DurableOrchestrationContext.create_timer


def _fire_at(self: Any) -> Any:
    """Return the time as it was given; what it cannot be compared with is found before."""
    given = self.fire_at
    return given if isinstance(given, datetime) and given.tzinfo is not None else actions.as_utc(given)


def _create_comparable(self: Any, fire_at: Any) -> Any:
    if self._limits is not None and self._replay_schema is ReplaySchema.V3:
        fire_at > self.current_utc_datetime + self._limits.longest  # noqa: B015  (raises)
    return _create_timer(self, fire_at)


def _cancel_unheard(self: Any) -> None:
    if self.is_completed:
        raise Exception("Cannot cancel a completed task.")
    self._final.is_cancelled = True


def _no_is_cancelled(self: Any) -> Any:
    raise AttributeError("'LongTimerTask' object has no attribute 'is_cancelled'")


def _on_leg(self: Any, child: Any) -> None:
    end = self._final._fire_at_utc
    now = self._starter.now if self._starter is not None else end
    is_over = self._final.is_cancelled and not is_back(UNHEARD)
    goes_on = end > now and not is_over
    if goes_on:
        self.add_new_child(self.get_next_timer_task(end, now))
    if child.state is TaskState.FAILED:
        self._complete(TaskState.FAILED, child.result, child.is_played)
    elif not goes_on:
        self._complete(TaskState.SUCCEEDED, [None] if is_back(LONG_VALUE) else None, child.is_played)


def _get_input(self: Any, expected_type: Any = None) -> Any:
    value = self._input
    if value is None:
        return None
    text = json.dumps(value) if isinstance(value, dict) else value
    return df_loads(text, expected_type or self._input_expected_type)


def _untyped(method: str) -> Patch:
    make = getattr(context.DurableOrchestrationContext, method)

    def call(*arguments: Any, **options: Any) -> Any:
        task = make(*arguments, **options)
        task.children[0]._expected_type = None
        return task

    return (context.DurableOrchestrationContext, method, call)


def _promise_text(function: Any) -> tuple[str, type | None]:
    """Take the class that the handle of an orchestrator promises for what its function promises."""
    name, _ = _resolve(function)
    return name, None if isinstance(function, str) else str


def _dump_status(status: Any) -> str:
    """Encode as a part of the state: in strict mode only a whole may be of a custom class."""
    return json.dumps(status) if os.environ.get(STRICT) == "1" else df_dumps(status)


_resolve = resolve_orchestrator


_limit_retries = RetryOptions.__init__


def _allow_none(
    self: Any, first_retry_interval_in_milliseconds: int, max_number_of_attempts: int, **others: Any
) -> None:
    _limit_retries(self, first_retry_interval_in_milliseconds, max(1, max_number_of_attempts), **others)
    self._max_number_of_attempts = max_number_of_attempts


def _version(self: Any) -> Any:
    started = next((e for e in self._events if e["EventType"] == 0), None)
    if started is None:
        return None
    if "Version" not in started:
        raise AttributeError("'HistoryEvent' object has no attribute 'Version'")
    return started["Version"]


MENDS: tuple[Mend, ...] = (
    Mend(
        "`create_timer` with another zone, or without one",
        (
            (actions.CreateTimerAction, "_fire_at_utc", property(_fire_at)),
            (context.DurableOrchestrationContext, "create_timer", _create_comparable),
        ),
    ),
    Mend(LONG_VALUE, ((tasks.LongTimerTask, "try_set_value", _on_leg),)),
    Mend(
        UNHEARD,
        (
            (tasks.LongTimerTask, "try_set_value", _on_leg),
            (tasks.LongTimerTask, "cancel", _cancel_unheard),
            (tasks.LongTimerTask, "is_cancelled", property(_no_is_cancelled)),
        ),
    ),
    Mend(
        "`RetryOptions` with less than one attempt, or waits beyond the host's limit of six days",
        (
            (RetryOptions, "__init__", _allow_none),
            (context.DurableOrchestrationContext, "_check_waits", lambda self, options: None),
        ),
    ),
    Mend(
        "`task_any([retried, timer])` with a failed attempt and `timer.cancel()`",
        ((actions.WhenAnyAction, "to_json", actions.CompoundAction.to_json),),
    ),
    Mend(
        "`expected_type`, `input_type`, the return annotation of a decorated function",
        ((_serialization, "converter_for", lambda expected_type: None),),
    ),
    Mend(
        "`expected_type` of retried calls",
        (_untyped("call_activity_with_retry"), _untyped("call_sub_orchestrator_with_retry")),
    ),
    Mend(
        "the type that a decorated sub-orchestrator promises",
        ((context, "resolve_orchestrator", _promise_text),),
    ),
    Mend(
        "an input that is no JSON text (raw HTTP start)",
        ((context.DurableOrchestrationContext, "get_input", _get_input),),
    ),
    Mend("ExecutionStarted without `Version`", ((context.DurableOrchestrationContext, "version", property(_version)),)),
    Mend("a custom class as the output", ((shell, "encode_output", json.dumps),)),
    Mend("a custom class as the custom status in strict mode", ((state, "df_dumps", _dump_status),)),
)
