"""Names, keys and times: the small types that everything else is made of."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import NewType

InstanceId = NewType("InstanceId", str)
"""Address of an orchestration or entity instance, as users write it (never escaped)."""

ExecutionId = NewType("ExecutionId", str)
"""One generation of an instance; continue-as-new and restarts make a new one."""

PartitionIndex = NewType("PartitionIndex", int)
"""Index of a partition and of its control queue, 0 to N-1."""

ETag = NewType("ETag", str)
"""Version of a stored row or blob, opaque."""

WorkerId = NewType("WorkerId", str)
"""Name of a worker process, unique among the workers of a hub."""


class Utc(str):
    """A point in time as text: ``2024-02-27T17:20:34.5678901Z``, UTC, up to seven fraction digits.

    Trailing zeros of the fraction are cut, as the reference writes times in messages; a table column
    pads them again. Text keeps the seventh digit (100 ns), which ``datetime`` would lose, and costs
    nothing when nobody reads it. As a table value it means ``Edm.DateTime``.
    """

    __slots__ = ()

    @classmethod
    def of(cls, moment: datetime) -> Utc:
        """Return the text of an aware (or naive UTC) ``datetime``."""
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc)
        return cls.parse(moment.replace(tzinfo=None).isoformat(timespec="microseconds"))

    @classmethod
    def parse(cls, text: str) -> Utc:
        """Return the canonical form of a UTC time text, whatever the length of its fraction.

        Accepts a ``Z`` or a ``+00:00`` at the end, or nothing (the reference's "unspecified" kind).
        """
        body = text[:-1] if text.endswith("Z") else text.removesuffix("+00:00")
        if "." in body:
            body = body.rstrip("0").removesuffix(".")
        return cls(body + "Z")

    def moment(self) -> datetime:
        """Return the time as an aware ``datetime``; digits beyond microseconds are cut."""
        head, _, fraction = self[:-1].partition(".")
        micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
        year, month, day = head[:10].split("-")
        hour, minute, second = head[11:].split(":")
        return datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), micros, tzinfo=timezone.utc
        )

    def plus(self, delta: timedelta) -> Utc:
        """Return this time moved by ``delta``, at microsecond precision."""
        return Utc.of(self.moment() + delta)

    def padded(self) -> str:
        """Return the seven-digit form that a table column holds."""
        head, _, fraction = self[:-1].partition(".")
        return f"{head}.{fraction:0<7}Z"

    def with_offset(self) -> str:
        """Return the form that ends with ``+00:00``, as the reference writes a ``DateTimeOffset``."""
        return f"{self[:-1]}+00:00"
