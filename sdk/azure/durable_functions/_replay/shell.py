"""One whole replay for the JSON protocol: a context with its history in, the state's text out.

Failures travel in the text of an exception, behind a marker, because a worker has no other way to report a failed
function together with its state. What is no fault of the orchestrator's code (a broken context, a result that is no
JSON) is raised as it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.corruption import check_history, corrupt_event
from azure.durable_functions._replay.foreign import close_unused, code_of
from azure.durable_functions._replay.history import HistoryEventType
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.state import render_state
from azure.durable_functions._serialization import df_dumps
from azure.durable_functions.errors import CorruptHistoryError, TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from azure.durable_functions._replay.context import DurableOrchestrationContext

OUT_OF_PROC_MARKER = "\n\n$OutOfProcData$:"
"""What the host looks for in the text of a failed function. Source: Durable Task extension."""


class TaskOrchestrationExecutor:
    """Replays an orchestrator function over a history."""

    def execute(
        self,
        context: DurableOrchestrationContext,
        history: Sequence[Mapping[str, Any]],
        fn: Callable[[DurableOrchestrationContext], Any],
    ) -> str:
        """Run ``fn`` over raw history events.

        Returns:
            The orchestrator's state as JSON text.

        Raises:
            Exception: the code raised; its text carries the state behind a marker.
            CorruptHistoryError: the history cannot be replayed.
        """
        executor = context._executor
        returned = fn(context)
        if len(history) < 2:
            close_unused(returned)
            raise CorruptHistoryError(
                f"Internal Durable Functions error: received History array of size {len(history)} when a minimum size "
                "of 2 is expected. Please report this issue at "
                "https://github.com/Azure/azure-functions-durable-python/issues."
            )
        code = code_of(returned)
        if code is not None:
            executor.run(code)
            _feed(context, history)
            if not executor.has_started:
                executor.close()
                check_history(history)
        else:
            executor.finish(None if context.will_continue_as_new else returned)
        if executor.error is not None:
            raise _failure(context, executor.error)
        return _render(context)


def _feed(context: DurableOrchestrationContext, history: Sequence[Mapping[str, Any]]) -> None:
    last_episode = len(history) - 1
    try:
        while history[last_episode]["EventType"] != HistoryEventType.ORCHESTRATOR_STARTED:
            last_episode -= 1  # the context's clock has found one
    except (LookupError, TypeError) as error:
        raise corrupt_event(last_episode, history[last_episode], error) from error
    context._executor.feed(history, replayed=last_episode)


def _render(context: DurableOrchestrationContext) -> str:
    output = context._executor.output
    try:
        text = None if output is None else encode_output(output)
    except Exception as error:  # TypeError, or whatever a user's to_json raises
        raise _failure(context, error) from error
    return _state_text(context, output=text)


def _failure(context: DurableOrchestrationContext, error: Exception) -> Exception:
    state = _state_text(context, error=str(error) or str(type(error)))
    failure = Exception(f"{error}{OUT_OF_PROC_MARKER}{state}")
    failure.__cause__ = _as_the_reference(error)
    return failure


def _as_the_reference(error: Exception) -> Exception:
    """Return a plain ``Exception`` for a task that failed: apps' tests look at the cause of what the worker gets."""
    if not isinstance(error, TaskFailedError):
        return error
    plain = Exception(*error.args).with_traceback(error.__traceback__)
    plain.__cause__ = error
    return plain


def _state_text(context: DurableOrchestrationContext, *, output: str | None = None, error: str | None = None) -> str:
    executor = context._executor
    recorded = executor.actions or []
    actions = recorded if executor.schema is ReplaySchema.V1 else [recorded]
    return render_state(executor.is_done, actions, executor.schema, output, error, context.custom_status)


def encode_output(value: Any) -> str:
    """Encode what an orchestrator returned.

    Raises:
        TypeError: neither JSON nor a class with ``to_json``; worded as by ``json``.
    """
    try:
        return df_dumps(value)
    except TypeError:
        return json.dumps(value)  # raises with the text that apps know
