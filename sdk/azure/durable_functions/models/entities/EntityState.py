"""What an entity answers to a batch of operations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.durable_functions.models.utils.df_serialization import df_dumps

if TYPE_CHECKING:
    from azure.durable_functions.models.entities.OperationResult import OperationResult
    from azure.durable_functions.models.entities.Signal import Signal


class EntityState:
    """An entity after a batch: whether it exists, its state, and what came of each operation.

    Args:
        results: one for each operation of the batch, in order.
        signals: operations for other entities.
        entity_exists: whether the entity exists now.
        state: its state.
        state_is_raw: whether ``state`` is JSON text already, to be handed back as it is.
    """

    def __init__(
        self,
        results: list[OperationResult],
        signals: list[Signal],
        entity_exists: bool = False,
        state: Any = None,
        state_is_raw: bool = False,
    ) -> None:
        self.entity_exists = entity_exists
        self.state = state
        self.state_is_raw = state_is_raw
        self._results = results
        self._signals = signals

    @property
    def results(self) -> list[OperationResult]:
        """One for each operation of the batch, in order."""
        return self._results

    @property
    def signals(self) -> list[Signal]:
        """Operations for other entities."""
        return self._signals

    def to_json(self) -> dict[str, Any]:
        """Return ``{"entityExists", "entityState", "results", "signals"}``, the state as JSON text.

        Raises:
            TypeError: the state cannot be encoded.
        """
        return {
            "entityExists": self.entity_exists,
            "entityState": self.state if self.state_is_raw else df_dumps(self.state),
            "results": [result.to_json() for result in self._results],
            "signals": [signal.to_json() for signal in self._signals],
        }

    def to_json_string(self) -> str:
        """Return :meth:`to_json` as text."""
        return json.dumps(self.to_json())
