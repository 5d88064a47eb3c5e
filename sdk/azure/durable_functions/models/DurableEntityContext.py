"""What an entity function sees of its entity and its operation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, overload

from azure.durable_functions._replay.corruption import read_object
from azure.durable_functions._replay.payloads import undecodable
from azure.durable_functions._serialization import converted
from azure.durable_functions.errors import MalformedContextError, PayloadDecodeError
from azure.durable_functions.models.utils.df_serialization import df_loads

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import UnionType

    from azure.durable_functions._replay.annotations import T


class DurableEntityContext:
    """An entity, while it works on a batch of operations.

    State is kept from operation to operation: what ``get_state`` returned and the code changed in place counts, with
    or without ``set_state``. Changes made before an operation raised stay.

    Args:
        name: the entity's name, in lower case.
        key: the entity's key.
        exists: whether the entity exists.
        state: JSON text of its state; ``None`` for none.
    """

    def __init__(self, name: str, key: str, exists: bool, state: str | None) -> None:
        self._entity_name = name
        self._entity_key = key
        self._exists = exists
        self._is_newly_constructed = False
        self._state: Any = state
        self._state_is_raw = state is not None
        self._operation: str | None = None
        self._input: Any = None
        self._result: Any = None
        self._has_result = False

    @classmethod
    def from_json(cls, json_str: str) -> tuple[DurableEntityContext, list[dict[str, Any]]]:
        """Read what the host hands to an entity function.

        Args:
            json_str: ``{"self": {"name", "key"}, "exists", "state", "batch": [{"name", "input", "isSignal"}]}``;
                ``state`` and ``input`` are JSON text or null. Further keys are ignored.

        Returns:
            The context, and the operations.

        Raises:
            json.JSONDecodeError: not JSON.
            MalformedContextError: a key is missing or of another kind; the error tells which.
        """
        found = read_object(json_str, "entity trigger", ("self", "exists", "state", "batch"))
        own, batch = found["self"], found["batch"]
        if not isinstance(own, dict) or not {"name", "key"} <= own.keys():
            raise MalformedContextError(f"'self' of the entity trigger has no name and key: {own!r:.60}", key="self")
        if not isinstance(batch, list) or not all(isinstance(operation, dict) for operation in batch):
            raise MalformedContextError(
                f"'batch' of the entity trigger is no list of operations: {batch!r:.60}", key="batch"
            )
        return cls(own["name"], own["key"], found["exists"], found["state"]), batch

    @property
    def entity_name(self) -> str:
        """The entity's name, in lower case."""
        return self._entity_name

    @property
    def entity_key(self) -> str:
        """The entity's key."""
        return self._entity_key

    @property
    def operation_name(self) -> str:
        """The operation that runs now.

        Raises:
            Exception: none does.
        """
        if self._operation is None:
            raise Exception("Entity operation is unassigned")
        return self._operation

    @property
    def is_newly_constructed(self) -> bool:
        """Always ``False``, as in the reference; ``get_state`` tells whether there is a state."""
        return self._is_newly_constructed

    @overload
    def get_input(self, expected_type: type[T]) -> T | None: ...

    @overload
    def get_input(self, expected_type: UnionType | None = None) -> Any: ...

    def get_input(self, expected_type: type | UnionType | None = None) -> Any:
        """Return the operation's input.

        Callers of this SDK encode it twice, raw HTTP requests once; both are understood, and text that is no JSON is
        returned as it is.

        Args:
            expected_type: class of the input.

        Returns:
            The decoded input; ``None`` when there is none.

        Raises:
            PayloadDecodeError: the input is not of that class, and it is one that is made from plain JSON.
            TypeError: in strict mode, when the input is of another type.
        """
        try:
            return self._decoded_input(expected_type)
        except PayloadDecodeError as error:
            field = f"input of operation {self._operation!r} of entity '@{self._entity_name}@{self._entity_key}'"
            raise undecodable(field, self._input, expected_type, error) from error

    def _decoded_input(self, expected_type: Any) -> Any:
        if not isinstance(self._input, str):
            return converted(self._input, expected_type)
        try:
            once = json.loads(self._input)
        except json.JSONDecodeError:
            return converted(self._input, expected_type)
        if not isinstance(once, str):
            return df_loads(self._input, expected_type)
        try:
            return df_loads(once, expected_type)
        except json.JSONDecodeError:
            return converted(once, expected_type)

    @overload
    def get_state(self, initializer: Callable[[], T], expected_type: type[T]) -> T: ...

    @overload
    def get_state(self, initializer: None = None, *, expected_type: type[T]) -> T | None: ...

    @overload
    def get_state(
        self, initializer: Callable[[], Any] | None = None, expected_type: UnionType | None = None
    ) -> Any: ...

    def get_state(
        self, initializer: Callable[[], Any] | None = None, expected_type: type | UnionType | None = None
    ) -> Any:
        """Return the entity's state.

        Args:
            initializer: makes the state when there is none; the state stays unset until ``set_state``.
            expected_type: class of the state.

        Returns:
            The decoded state, the same object each time; ``None`` when there is neither a state nor ``initializer``.

        Raises:
            Exception: there is no state, and ``initializer`` cannot be called.
            PayloadDecodeError: the state is not of that class, and it is one that is made from plain JSON.
            TypeError: in strict mode, when the state is of another type.
        """
        try:
            if self._state_is_raw:
                self._state = _decoded_state(self._state, expected_type)
                self._state_is_raw = False
            elif self._state is not None:
                self._state = converted(self._state, expected_type)
        except PayloadDecodeError as error:
            field = f"state of entity '@{self._entity_name}@{self._entity_key}'"
            raise undecodable(field, self._state, expected_type, error) from error
        if self._state is not None or not initializer:
            return self._state
        if not callable(initializer):
            raise Exception("initializer argument needs to be a callable function")
        return initializer()

    def set_state(self, state: Any) -> None:
        """Set the entity's state. The entity exists from now on.

        Args:
            state: any JSON value, or an object with ``to_json``. It is encoded when the batch ends.
        """
        self._exists = True
        self._state_is_raw = False
        self._state = state

    def set_result(self, result: Any) -> None:
        """Set the operation's result. The entity exists from now on.

        Args:
            result: any JSON value, or an object with ``to_json``. It is encoded when the operation ends, and stands
                before what the function returns.
        """
        self._exists = True
        self._has_result = True
        self._result = result

    def destruct_on_exit(self) -> None:
        """Delete the entity after this operation; its state is gone at once."""
        self._exists = False
        self._state_is_raw = False
        self._state = None

    def _begin(self, operation: str, input_: Any) -> None:
        """Make an operation the current one."""
        self._operation = operation
        self._input = input_
        self._result = None
        self._has_result = False


def from_json_util(json_str: str, expected_type: Any = None) -> Any:
    """Decode JSON text, custom classes included.

    Raises:
        json.JSONDecodeError: the text is no JSON.
        TypeError: in strict mode, when the value is of another type.
    """
    return df_loads(json_str, expected_type)


def _decoded_state(state: Any, expected_type: Any) -> Any:
    """Decode a stored state; what is no JSON text is the state itself."""
    if not isinstance(state, str):
        return state
    try:
        return df_loads(state, expected_type)
    except json.JSONDecodeError:
        return converted(state, expected_type)
