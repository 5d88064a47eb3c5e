"""An operation that an entity sends to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.durable_functions.models.utils.entity_utils import EntityId


class Signal:
    """One-way operation for an entity.

    Args:
        target: the entity that gets it.
        name: the operation.
        input_: JSON text.
    """

    def __init__(self, target: EntityId, name: str, input_: str) -> None:
        self._target = target
        self._name = name
        self._input = input_

    @property
    def target(self) -> EntityId:
        """The entity that gets it."""
        return self._target

    @property
    def name(self) -> str:
        """The operation."""
        return self._name

    @property
    def input(self) -> str:
        """JSON text of the operation's input."""
        return self._input

    def to_json(self) -> dict[str, object]:
        """Return ``{"target": {"name", "key"}, "name", "input"}``."""
        target = {"name": self._target.name, "key": self._target.key}
        return {"target": target, "name": self._name, "input": self._input}
