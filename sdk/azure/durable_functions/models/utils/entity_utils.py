"""The address of an entity."""

from __future__ import annotations


class EntityId:
    """Name and key of an entity, e.g. ``EntityId("Counter", "main")``.

    Two ids are equal when name and key are, letter case included; the host ignores the case of names only.

    Args:
        name: the entity function's name.
        key: which of its entities; case matters to the host.

    Raises:
        ValueError: name or key is empty.
    """

    def __init__(self, name: str, key: str) -> None:
        if name == "":
            raise ValueError("Entity name cannot be empty")
        if key == "":
            raise ValueError("Entity key cannot be empty")
        self.name: str = name
        self.key: str = key

    @staticmethod
    def get_scheduler_id(entity_id: EntityId) -> str:
        """Return the id of the instance that runs ``entity_id``: ``@``, name in lower case, ``@``, key."""
        return f"@{entity_id.name.lower()}@{entity_id.key}"

    @staticmethod
    def get_entity_id(scheduler_id: str) -> EntityId:
        """Return the entity id that ``scheduler_id``, ``@name@key``, stands for.

        Raises:
            ValueError: the text does not hold exactly a name and a key; a key with ``@`` cannot be read back.
        """
        parts = scheduler_id.split("@")
        if len(parts) != 3 or parts[0]:
            raise ValueError("Unexpected format in SchedulerId")
        return EntityId(name=parts[1], key=parts[2])

    @staticmethod
    def get_entity_id_url_path(entity_id: EntityId) -> str:
        """Return ``entities/{name}/{key}`` of ``entity_id`` as it is, nothing escaped."""
        return f"entities/{entity_id.name}/{entity_id.key}"

    def __str__(self) -> str:
        return EntityId.get_scheduler_id(self)

    def __repr__(self) -> str:
        return f"EntityId(name={self.name!r}, key={self.key!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EntityId):
            return NotImplemented
        return (self.name, self.key) == (other.name, other.key)

    def __hash__(self) -> int:
        return hash((self.name, self.key))
