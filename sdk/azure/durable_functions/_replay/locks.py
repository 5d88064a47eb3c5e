"""Critical sections: entities that an orchestration has locked, and what it may do meanwhile.

There is one section at a time. It is pending from the request until its grant arrives, then held until it is released.
The rules are those of the host, which under the JSON protocol says nothing when they are broken: the instance would
wait for ever.

Source: Durable Task extension, ``DurableOrchestrationContext``; ``extension.md`` 2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from azure.durable_functions.errors import LockingRulesError

if TYPE_CHECKING:
    from types import TracebackType


class CriticalSection:
    """Entities that are locked, or about to be.

    Args:
        entities: their instance ids, in the order in which they are locked.
    """

    __slots__ = ("_calling", "_free", "entities", "is_granted")

    def __init__(self, entities: tuple[str, ...]) -> None:
        self.entities = entities
        self.is_granted = False
        self._free = list(entities)
        self._calling = 0

    @property
    def to_release(self) -> list[str]:
        """What a release goes to, in the host's order: an entity that was called has moved to the end."""
        return list(self._free)

    def why_not_call(self, entity: str) -> str | None:
        """Return why an entity cannot be called now; ``None`` when it can."""
        if not self.is_granted:
            return "Must await the completion of the lock request prior to calling any entity."
        if entity in self._free:
            return None
        if entity in self.entities:
            return (
                "Must not call an entity from a critical section while a prior call to the same entity is still "
                "pending."
            )
        return "Must not call an entity from a critical section if it is not one of the locked entities."

    def why_not_signal(self, entity: str) -> str | None:
        """Return why an entity cannot be signalled now; ``None`` when it can."""
        return "Must not signal a locked entity from a critical section." if entity in self.entities else None

    def call(self, entity: str) -> None:
        """A call begins."""
        self._free.remove(entity)
        self._calling += 1

    def answer(self, entity: str) -> None:
        """A call is over."""
        if entity in self.entities and entity not in self._free:
            self._free.append(entity)
            self._calling -= 1

    @property
    def is_calling(self) -> bool:
        """Whether a call has not been answered."""
        return self._calling > 0


class Releaser(Protocol):
    """What a lock needs of the executor."""

    def release(self, section: CriticalSection) -> None:
        """Release a section, unless it is over."""


class EntityLock:
    """Entities that are locked; leaving the ``with`` block, or :meth:`release`, lets them go."""

    __slots__ = ("_releaser", "_section")

    def __init__(self, section: CriticalSection, releaser: Releaser) -> None:
        self._section = section
        self._releaser = releaser

    def release(self) -> None:
        """Let the entities go; without effect when they are free already.

        Raises:
            LockingRulesError: one of them has not answered yet.
        """
        self._releaser.release(self._section)

    def __enter__(self) -> EntityLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        if kind is not None and (issubclass(kind, GeneratorExit) or self._section.is_calling):
            return  # the code is let go, or fails: the error says more than that an answer is missing
        self.release()


def locking_error(problem: str, entity: str) -> LockingRulesError:
    """Return the error for breaking a rule."""
    return LockingRulesError(f"{problem} (entity {entity!r})", entity=entity)
