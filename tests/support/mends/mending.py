"""A deliberate difference from the official package, as a patch that takes it back."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Patch = tuple[Any, Any, Any]
    """A class, module or dictionary; what in it; what instead."""


@dataclass(frozen=True)
class Mend:
    """One deliberate difference.

    Attributes:
        name: by which it is counted.
        take_back: what to put where, so that our package answers as the official one.
    """

    name: str
    take_back: tuple[Patch, ...]


_back: set[str] = set()


def is_back(name: str) -> bool:
    """Whether a mend is taken back now; for patches that several of them share."""
    return name in _back


@contextlib.contextmanager
def taken_back(mends: Iterable[Mend]) -> Iterator[None]:
    """Answer as the official package where these mends say otherwise."""
    mends = tuple(mends)
    patches = [patch for mend in mends for patch in mend.take_back]
    before = [(owner, name, _get(owner, name)) for owner, name, _ in patches]
    _back.update(mend.name for mend in mends)
    try:
        for patch in patches:
            _put(*patch)
        yield
    finally:
        for patch in before:
            _put(*patch)
        _back.clear()


_NOTHING = object()


def _get(owner: Any, name: Any) -> Any:
    if isinstance(owner, dict):
        return owner.get(name, _NOTHING)
    # As it is written, not as it is bound; a class's own name is not among what it holds.
    return vars(owner)[name] if name in vars(owner) else getattr(owner, name)


def _put(owner: Any, name: Any, value: Any) -> None:
    if not isinstance(owner, dict):
        setattr(owner, name, value)
    elif value is _NOTHING:
        owner.pop(name, None)
    else:
        owner[name] = value
