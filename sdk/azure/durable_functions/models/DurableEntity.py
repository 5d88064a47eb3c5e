"""Entities as classes: one method for each operation."""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any, overload

from azure.durable_functions._serialization import converter_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import UnionType

    from azure.durable_functions._replay.annotations import T
    from azure.durable_functions.models.DurableEntityContext import DurableEntityContext


class DurableEntity:
    """Base of entity classes; every public method is an operation, and what it returns is the result.

    A method takes the operation's input, or nothing; an annotation says what is made of it, as for activities. An
    object is made for each operation::

        @app.entity_trigger(context_name="context")
        class Counter(df.DurableEntity):
            def add(self, amount: int) -> int:
                self.set_state(self.get_state(default=0) + amount)
                return self.get_state()

    An operation ``delete`` deletes the entity, unless the class has a method of that name.
    """

    context: DurableEntityContext
    """The entity's context, set before the method runs."""

    @overload
    def get_state(self, expected_type: type[T], default: T) -> T: ...

    @overload
    def get_state(self, expected_type: type[T], default: None = None) -> T | None: ...

    @overload
    def get_state(self, expected_type: UnionType | None = None, default: Any = None) -> Any: ...

    def get_state(self, expected_type: type | UnionType | None = None, default: Any = None) -> Any:
        """Return the entity's state.

        Args:
            expected_type: class of the state.
            default: what to return when there is none.
        """
        state = self.context.get_state(expected_type=expected_type)
        return default if state is None else state

    def set_state(self, state: Any) -> None:
        """Set the entity's state.

        Args:
            state: any JSON value, or an object with ``to_json``.
        """
        self.context.set_state(state)

    def delete(self) -> None:
        """Delete the entity."""
        self.context.destruct_on_exit()


_TAKES_INPUT = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
_NOT_OPERATIONS = frozenset({"get_state", "set_state", "context"})


def as_function(entity_class: type[DurableEntity]) -> Callable[[DurableEntityContext], Any]:
    """Return the entity function that calls the class's methods."""

    def run(context: DurableEntityContext) -> Any:
        method = _operation(entity_class, context)
        parameter = next(
            (each for each in inspect.signature(method).parameters.values() if each.kind in _TAKES_INPUT), None
        )
        return method() if parameter is None else method(context.get_input(_input_type(method, parameter.name)))

    run.__name__ = entity_class.__name__
    run.__qualname__ = entity_class.__qualname__
    run.__doc__ = entity_class.__doc__
    run.__module__ = entity_class.__module__
    return run


def _operation(entity_class: type[DurableEntity], context: DurableEntityContext) -> Callable[..., Any]:
    name = context.operation_name
    is_public = not name.startswith("_") and name not in _NOT_OPERATIONS
    entity = entity_class()
    entity.context = context
    method = getattr(entity, name, None) if is_public else None
    if not callable(method):
        raise AttributeError(f"entity {entity_class.__name__} has no operation {name!r}")
    return method  # type: ignore[no-any-return]  # user code's methods have no common signature


def _input_type(method: Any, name: str) -> Any:
    """Return what the input is annotated with, if that is made from plain JSON; else nothing to be checked."""
    function = inspect.unwrap(method)
    try:
        hint = typing.get_type_hints(function).get(name)
    except Exception:  # annotations that cannot be evaluated say nothing
        return None
    return None if converter_for(hint) is None else hint
