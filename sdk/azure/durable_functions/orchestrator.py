"""The JSON shell: an episode as the official extension asks for it, text in and text out.

``Orchestrator.create`` makes what the worker calls. Each call is a whole replay: a fresh context, a fresh run of the
user's function over all of the history, and the list of everything that it has asked for since its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import azure.functions as func
from azure.durable_functions._replay.context import DurableOrchestrationContext
from azure.durable_functions._replay.foreign import refuse_async_generator
from azure.durable_functions._replay.functions import AppFunctions, known_functions
from azure.durable_functions._replay.shell import TaskOrchestrationExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.durable_functions._replay.annotations import T
    from azure.durable_functions.decorators.builders import OrchestratorHandle


class Orchestrator:
    """Runs a user's orchestrator function.

    Args:
        activity_func: a generator function, a coroutine function or a plain function of the context.
    """

    def __init__(self, activity_func: Callable[[DurableOrchestrationContext], Any]) -> None:
        self.fn = activity_func
        self.task_orchestration_executor: TaskOrchestrationExecutor = TaskOrchestrationExecutor()

    def handle(self, context: DurableOrchestrationContext) -> str:
        """Replay the function over the context's history.

        Returns:
            The orchestrator's state as JSON text.

        Raises:
            Exception: the function raised; the text carries the state behind a marker, for the host.
        """
        self.durable_context = context
        return self.task_orchestration_executor.execute(context, context._raw_history, self.fn)

    @classmethod
    def create(cls, fn: Callable[[DurableOrchestrationContext], T]) -> OrchestratorHandle[T]:
        """Return the function that the worker calls for ``fn``.

        It takes the host's JSON, as text or as an object with a ``body``, and returns the orchestrator's state as
        JSON text. ``fn`` is its attribute ``orchestrator_function``.

        Raises:
            TypeError: ``fn`` is ``async def`` and yields.
        """
        refuse_async_generator(fn)

        def handle(context: Any) -> str:
            body = getattr(context, "body", None)
            text = context if body is None else body
            durable_context = DurableOrchestrationContext.from_json(text)
            durable_context._input_expected_type = getattr(handle, "_df_input_type", None)
            durable_context._functions = known_functions(handle)
            return cls(fn).handle(durable_context)

        # Evaluated, not text: the worker compares the classes.
        handle.__annotations__ = {"context": func.OrchestrationContext, "return": str}
        handle._df_functions = AppFunctions()  # type: ignore[attr-defined]  # told by the app when it is indexed
        handle.orchestrator_function = fn  # type: ignore[attr-defined]  # the reference's attribute
        return cast("OrchestratorHandle[T]", handle)
