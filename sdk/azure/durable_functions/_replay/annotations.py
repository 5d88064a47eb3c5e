"""What annotations of calls need to tell the type of a result. Loaded by type checkers only."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar
from uuid import UUID


class HasToJson(Protocol):
    """Encodes itself."""

    def to_json(self) -> Any:
        """Return what stands for it."""


class Dataclass(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class PydanticModel(Protocol):
    """A model of pydantic."""

    def model_dump(self) -> dict[str, Any]:
        """Return its fields."""


class Pydantic1Model(Protocol):
    """A model of pydantic 1."""

    __fields__: ClassVar[dict[str, Any]]


class MsgspecStruct(Protocol):
    """A structure of msgspec."""

    __struct_fields__: ClassVar[tuple[str, ...]]


Value = (
    (bool | int | float | str | Sequence[Any] | Mapping[Any, Any] | None)
    | (Enum | date | time | timedelta | Decimal | UUID)
    | (HasToJson | Dataclass | PydanticModel | Pydantic1Model | MsgspecStruct)
)
"""What a function can return so that it can be encoded; see ``_conversion``."""

P = ParamSpec("P")
T = TypeVar("T")

V = TypeVar("V", bound=Value)
"""A result. The bound keeps generators and coroutines out: mypy gives up on a call for which several overloads fit
arguments with an ``Any`` in them, and ``Generator[Any, Any, str]`` is one."""

Driven = Generator[Any, Any, T] | Coroutine[Any, Any, T]
"""What calling an orchestrator gives whose result is ``T``."""
