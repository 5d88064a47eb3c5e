"""The orchestrator that stands around a user's function with agents."""

from __future__ import annotations

import functools
import inspect
import json
from typing import TYPE_CHECKING, Any

from agents import ModelProvider
from azure.durable_functions._serialization import df_dumps
from azure.durable_functions.openai_agents._calls import Calls, Pending, running
from azure.durable_functions.openai_agents._context import DurableAIAgentContext
from azure.durable_functions.openai_agents._model import MODEL_ACTIVITY, model_activity
from azure.durable_functions.openai_agents._runner import install_runner

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from azure.durable_functions._replay.context import DurableOrchestrationContext
    from azure.durable_functions._replay.retry import RetryOptions
    from azure.durable_functions._replay.tasks import TaskBase


def agent_orchestrator(function: Callable[..., Any], model_retry_options: RetryOptions | None) -> Callable[..., Any]:
    """Return the orchestrator that runs a user's function.

    Args:
        function: a plain function or a generator function of a :class:`DurableAIAgentContext`.
        model_retry_options: how model calls are tried again; ``None`` for once.

    Raises:
        TypeError: the function is ``async def``.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"durable_openai_agent_orchestrator takes a plain function or a generator, but {function.__name__!r} is "
            "async def. Use Runner.run_sync, and yield other tasks."
        )
    install_runner()

    @functools.wraps(function)
    def orchestrate(context: DurableOrchestrationContext) -> Generator[TaskBase, Any, Any]:
        calls = Calls(context, model_retry_options)
        return _drive(functools.partial(function, DurableAIAgentContext(calls)), calls)

    orchestrate._df_starts_over = True  # type: ignore[attr-defined]  # the live shell begins anew with each event
    return orchestrate


def _drive(begin: Callable[[], Any], calls: Calls) -> Generator[TaskBase, Any, Any]:
    """Run the code, and yield what it waits for: also what its agents have waited for, which it cannot yield itself."""
    step, code = begin, None
    try:
        while True:
            try:
                with running(calls):
                    found = step()
                if code is None and inspect.isgenerator(found):
                    code = found
                    step = functools.partial(next, code)
                    continue
                is_over = code is None
            except StopIteration as stop:
                found, is_over = stop.value, True
            except Pending as pending:
                yield from calls.waits()
                yield pending.task
                raise RuntimeError(
                    "A result arrived for an agent's call, but not at its place in the history: the code does not do "
                    "what it did when the history was written."
                ) from None
            except Exception:
                yield from calls.waits()
                raise
            yield from calls.waits()
            if is_over:
                return _as_text(found)
            calls.note(found)
            step = yield from _answered(code, found)
    finally:
        if code is not None:
            code.close()


def _answered(code: Any, task: TaskBase) -> Generator[TaskBase, Any, Callable[[], Any]]:
    """Yield a task of the code; return the step that hands the answer to it."""
    try:
        value = yield task
    except Exception as error:  # what the task failed with is for the code
        return functools.partial(code.throw, error)
    return functools.partial(code.send, value)


def _as_text(value: Any) -> str:
    """Return the output: a text as it is, everything else as JSON text."""
    if isinstance(value, str):
        return value
    for name in ("to_json", "model_dump_json"):
        if callable(getattr(value, name, None)):
            made = getattr(value, name)()
            return made if isinstance(made, str) else json.dumps(made)
    return df_dumps(value)


def check_provider(provider: Any) -> None:
    """Refuse what gives no models.

    Raises:
        TypeError: it is no ``ModelProvider``.
    """
    if provider is not None and not isinstance(provider, ModelProvider):
        raise TypeError("Provided model provider must be of type ModelProvider")


def register_model_activity(app: Any, provider: ModelProvider | None) -> None:
    """Give an app, or a part of one, the activity that calls models; once.

    Raises:
        ValueError: it has another provider already.
    """
    known = getattr(app, "_df_model_provider", ...)
    if known is ...:
        app._df_model_provider = provider
        app.activity_trigger(input_name="input", activity=MODEL_ACTIVITY)(model_activity(provider))
    elif provider is not None and provider is not known:
        raise ValueError("The app has a model provider already: all its agents call models through one activity.")
