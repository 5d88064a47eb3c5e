"""The context that an orchestrator with agents is given."""

from __future__ import annotations

import inspect
import json
import logging
from typing import TYPE_CHECKING, Any

from agents import FunctionTool, function_tool
from azure.durable_functions._replay.functions import resolve_activity
from azure.durable_functions._replay.logs import ReplaySafeLogger
from azure.durable_functions._replay.retry import RetryOptions
from azure.durable_functions._typed_activities import evaluated

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.tool_context import ToolContext
    from azure.durable_functions._replay.tasks import TaskBase
    from azure.durable_functions.openai_agents._calls import Calls

_ON_FAILURE = RetryOptions(first_retry_interval_in_milliseconds=2000, max_number_of_attempts=5)


class DurableAIAgentContext:
    """A :class:`DurableOrchestrationContext` for orchestrators with agents; it has all that that one has.

    Args:
        calls: the activity calls of this run.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._context = calls.context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def __repr__(self) -> str:
        return f"<DurableAIAgentContext of {self._context.instance_id}>"

    @property
    def is_replaying(self) -> bool:
        """Whether the code that runs now has run before, in an earlier episode."""
        return self._calls.is_replaying

    @property
    def logger(self) -> ReplaySafeLogger:
        """A logger that is silent while the code replays; see :meth:`DurableOrchestrationContext.logger`."""
        return self.create_replay_safe_logger(logging.getLogger(f"durable_functions.{self._context._name}"))

    def create_replay_safe_logger(self, logger: logging.Logger) -> ReplaySafeLogger:
        """Return a logger that passes on to ``logger`` what is not replayed; see ``context.logger``."""
        context = self._context
        return ReplaySafeLogger(logger, self, instance_id=context.instance_id, function_name=context._name)

    def call_activity(self, name: str | Callable[..., Any], input_: Any | None = None) -> TaskBase:
        """Run an activity; see :meth:`DurableOrchestrationContext.call_activity`.

        Args:
            name: its name, or the decorated function.
            input_: a JSON value, or an object with ``to_json``.

        Returns:
            A task, to be yielded.
        """
        called: Any = name  # how calls are typed depends on which it is
        return self._context.call_activity(called, input_)

    def call_activity_with_retry(
        self, name: str | Callable[..., Any], retry_options: RetryOptions, input_: Any | None = None
    ) -> TaskBase:
        """Run an activity, again when it fails; see :meth:`DurableOrchestrationContext.call_activity_with_retry`.

        Args:
            name: its name, or the decorated function.
            retry_options: how often, how late, after what.
            input_: a JSON value, or an object with ``to_json``.

        Returns:
            A task, to be yielded.
        """
        called: Any = name
        return self._context.call_activity_with_retry(called, retry_options, input_)

    def create_activity_tool(
        self,
        activity_func: Callable[..., Any],
        *,
        description: str | None = None,
        retry_options: RetryOptions | None = _ON_FAILURE,
    ) -> FunctionTool:
        """Make a tool of an activity.

        The model sees the name of the function, its docstring, and the type of its input; the type has to be one that
        a strict JSON schema can describe.

        Args:
            activity_func: the function under ``@app.activity_trigger``.
            description: what the model is told of it; the docstring by default.
            retry_options: how it is tried again when it fails; ``None`` for once.

        Returns:
            The tool, for ``Agent(tools=[...])``.

        Raises:
            ValueError: the function is no activity.
            agents.UserError: its input cannot be described.
        """
        resolve_activity(activity_func)
        decorated = getattr(activity_func, "_function", None)
        if decorated is None:
            raise ValueError(
                f"create_activity_tool takes a function under @app.activity_trigger, not {activity_func!r}"
            )
        name = decorated._trigger.activity or decorated.get_function_name()
        input_name = decorated._trigger.name
        described = function_tool(
            _with_input_only(inspect.unwrap(decorated._func), input_name), description_override=description
        )

        async def invoke(tool_context: ToolContext[Any], arguments: str) -> Any:
            value = _input_of(arguments, input_name)
            if retry_options is None:
                return self._calls.result_of(self._context.call_activity(name, value))
            return self._calls.result_of(self._context.call_activity_with_retry(name, retry_options, value))

        return FunctionTool(
            name=described.name,
            description=described.description,
            params_json_schema=described.params_json_schema,
            on_invoke_tool=invoke,
            strict_json_schema=described.strict_json_schema,
        )


def _with_input_only(function: Callable[..., Any], input_name: str) -> Callable[..., Any]:
    """Return what the model may know of an activity: its input, not what else the worker gives it."""
    signature = inspect.signature(function)
    if list(signature.parameters) == [input_name]:
        return function

    def described() -> None:
        """Stand for the activity; never called."""

    described.__name__, described.__doc__ = function.__name__, function.__doc__
    described.__signature__ = signature.replace(parameters=[signature.parameters[input_name]])  # type: ignore[attr-defined]  # inspect reads it
    described.__annotations__ = {input_name: evaluated(function, input_name)}
    return described


def _input_of(arguments: str, input_name: str) -> Any:
    """Return what the activity gets: its input out of the model's arguments, or all of their text."""
    try:
        found = json.loads(arguments)
    except json.JSONDecodeError:
        return arguments
    return found[input_name] if isinstance(found, dict) and input_name in found else arguments
