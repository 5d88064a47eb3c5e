"""Entity: a batch of operations in, results and the new state out."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any, cast

from azure.durable_functions.models.DurableEntity import DurableEntity, as_function
from azure.durable_functions.models.DurableEntityContext import DurableEntityContext
from azure.durable_functions.models.entities.EntityState import EntityState
from azure.durable_functions.models.entities.OperationResult import OperationResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.durable_functions.decorators.builders import EntityCode, EntityHandle


class InternalEntityException(Exception):
    """The host handed over an operation that cannot be run."""


class Entity:
    """Runs an entity function for each operation of a batch.

    Args:
        entity_func: the user's function, or a :class:`DurableEntity` class.
    """

    def __init__(self, entity_func: Callable[[DurableEntityContext], Any] | type[DurableEntity]) -> None:
        self.fn = entity_func
        is_class = isinstance(entity_func, type) and issubclass(entity_func, DurableEntity)
        self._run = cast(
            "Callable[[DurableEntityContext], Any]",
            as_function(cast("type[DurableEntity]", entity_func)) if is_class else entity_func,
        )

    @classmethod
    def create(cls, fn: EntityCode) -> EntityHandle[EntityCode]:
        """Return the function that the Functions worker calls.

        Args:
            fn: the user's function of a :class:`DurableEntityContext`, or a :class:`DurableEntity` class.

        Returns:
            A function of the trigger's text, or of an object with that text as ``body``; it returns the answer's
            text. Its attribute ``entity_function`` is ``fn``.
        """
        entity = cls(fn)

        def handle(context) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001 (the worker checks annotations)
            body = getattr(context, "body", None)
            return entity.handle(*DurableEntityContext.from_json(context if body is None else body))

        # The worker resolves annotations of what it calls; the class, not its name in this module.
        handle.__annotations__ = {"return": str}
        handle.entity_function = fn  # type: ignore[attr-defined]  # where tests of apps find the user's function
        return cast("EntityHandle[EntityCode]", handle)

    def handle(self, context: DurableEntityContext, batch: list[dict[str, Any]]) -> str:
        """Run the operations in order and return the answer's text.

        An operation that raises has a failed result; the batch goes on, and what it changed before stays changed.

        Args:
            context: the entity.
            batch: the operations, ``{"name", "input", "isSignal"}`` each; ``input`` is JSON text or ``None``.

        Raises:
            InternalEntityException: the name of an operation is null.
            TypeError: the state cannot be encoded.
        """
        results = [self._perform(context, operation) for operation in batch]
        return EntityState(
            results=results,
            signals=[],
            entity_exists=context._exists,
            state=context._state,
            state_is_raw=context._state_is_raw,
        ).to_json_string()

    def _perform(self, context: DurableEntityContext, operation: dict[str, Any]) -> OperationResult:
        if operation.get("name", "") is None:
            raise InternalEntityException("Durable Functions Internal Error:Entity operation was missing a name field")
        started = time.time()
        began = time.perf_counter()

        def finished(*, is_error: bool, result: Any) -> OperationResult:
            return OperationResult(
                is_error=is_error,
                duration=int((time.perf_counter() - began) * 1000),
                execution_start_time_ms=int(started * 1000),
                result=result,
            )

        try:
            context._begin(operation["name"], operation.get("input"))
            returned = self._run(context)
            _refuse_unfinished(returned)
            if context._has_result:
                return finished(is_error=False, result=context._result)
        except Exception as error:  # user code: its failure is the operation's result, and goes to the caller
            return finished(is_error=True, result=str(error))
        try:
            return finished(is_error=False, result=returned)
        except Exception:  # not encodable; nobody set it as the result, and the reference ignores what is returned
            return finished(is_error=False, result=None)


def _refuse_unfinished(returned: Any) -> None:
    """Tell the author of an ``async def`` or generator that none of its code has run."""
    if inspect.iscoroutine(returned):
        returned.close()
        raise TypeError("an entity function must be a plain function, not `async def`: nothing awaits it")
    if inspect.isgenerator(returned):
        raise TypeError("an entity function must not yield: nothing resumes it")
