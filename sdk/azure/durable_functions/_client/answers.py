"""Small answers of the management API."""

from __future__ import annotations

from typing import Any


class PurgeHistoryResult:
    """Answer to a purge.

    Args:
        instancesDeleted: how many instances were removed.
        **kwargs: whatever else the host tells, kept as attributes.
    """

    def __init__(self, instancesDeleted: int, **kwargs: Any) -> None:
        self._instances_deleted = instancesDeleted
        for key, value in kwargs.items():
            setattr(self, key, value)

    @classmethod
    def from_json(cls, json_obj: dict[str, Any]) -> PurgeHistoryResult:
        """Read the host's answer, ``{"instancesDeleted": 3}``."""
        return cls(**json_obj)

    @property
    def instances_deleted(self) -> int:
        """How many instances were removed; 0 when none matched."""
        return self._instances_deleted


class EntityStateResponse:
    """Answer to a read of an entity.

    Args:
        entity_exists: whether the entity exists.
        entity_state: its state, decoded.
    """

    def __init__(self, entity_exists: bool, entity_state: Any = None) -> None:
        self._entity_exists = entity_exists
        self._entity_state = entity_state

    @property
    def entity_exists(self) -> bool:
        """Whether the entity exists."""
        return self._entity_exists

    @property
    def entity_state(self) -> Any:
        """The decoded state; ``None`` when there is none."""
        return self._entity_state
