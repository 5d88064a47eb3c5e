"""A store that fails as a network and a busy service do, from a seed.

What may happen to a call, each at its rate:

- to any: it fails before it acts; it acts and its reply is lost; it acts twice, as when a layer below repeats it, and
  the caller gets the second outcome (a refusal, often, of what the first has done); it is late, before or after it
  acts; it is throttled. All but lateness surface as :class:`~taskhub.errors.TransientStorageError`. A batch acts as a
  whole or not at all, as the port promises.
- to a put: a second copy of the message is put, which may be seen minutes later.
- to a get: the messages come in another order; or they are hidden for a second only, so that somebody may read them
  again while they are being worked on.
- to a query: the page is short, and its token leads on.
- to a write with an ETag: somebody else writes the row right before, and changes nothing but the ETag.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.errors import StorageError, TransientStorageError
from taskhub.storage.interception import Call, intercepted
from taskhub.storage.port import MAX_INVISIBLE_SECONDS, Row, TableWrite, Write

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.storage.port import Storage

ANY_CALL = ("fail_before", "lose_reply", "act_twice", "delay", "throttle")
"""Faults of every call."""

FAULTS = (*ANY_CALL, "second_copy", "reorder", "short_hiding", "short_page", "touch")
"""All faults."""


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often each fault strikes, as a share of the calls that it may strike; together at most 1."""

    fail_before: float = 0.0
    lose_reply: float = 0.0
    act_twice: float = 0.0
    delay: float = 0.0
    throttle: float = 0.0
    second_copy: float = 0.0
    """Of the puts of messages."""
    reorder: float = 0.0
    """Of the gets of messages that find more than one."""
    short_hiding: float = 0.0
    """Of the gets of messages."""
    short_page: float = 0.0
    """Of the queries of tables."""
    touch: float = 0.0
    """Of the table writes with an ETag."""
    retry_after_seconds: float | None = None
    """What a throttled call is told."""
    max_delay_seconds: float = 5.0
    """A late call is late by up to this, at even odds before or after it acts."""
    max_copy_seconds: int = 900
    """A second copy is seen up to this much later."""

    def __post_init__(self) -> None:
        rates = tuple(getattr(self, name) for name in FAULTS)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError(f"fault rates are shares of all calls, together at most 1: {rates}")


NO_FAULTS = FaultRates()


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes one call."""

    name: str
    """As in :class:`FaultRates`, or ``none``."""
    seconds: float = 0.0
    """How late the call is: before it acts, or when negative, after it acted; how much later a second copy is seen."""
    number: int = 0
    """How many rows a short page has; which order messages come in."""


NO_FAULT = Fault("none")


class FaultInjector:
    """Injects faults into the stores that it wraps; draws once for each call, in the order of the calls."""

    def __init__(self, rates: FaultRates, random: random.Random, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Prepare to inject.

        Args:
            rates: how often; may be set anew at any time, ``NO_FAULTS`` lets a run come to rest.
            random: where all draws come from.
            sleep: the clock's.
        """
        self.rates = rates
        self.injected: Counter[str] = Counter()
        """How often each fault struck, by the names in :data:`FAULTS`, and ``none``."""
        self._random = random
        self._sleep = sleep

    def __repr__(self) -> str:
        struck = ", ".join(f"{name} {count}" for name, count in sorted(self.injected.items()))
        return f"<FaultInjector {struck or 'unused'}>"

    def wrap(self, storage: Storage) -> Storage:
        """Return a store whose calls may fail."""

        async def around(call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
            fault = self.draw(call)
            if fault.name in ANY_CALL:
                self.injected[fault.name] += 1
                return await self._disturb(fault, call, act)
            if fault is NO_FAULT:
                self.injected["none"] += 1
                return await act()
            return await self._bend(fault, storage, call, act)

        return intercepted(storage, around)

    def draw(self, call: Call) -> Fault:
        """Return what strikes a call, drawn from the rates; a simulation that plays faults again overrides it."""
        point = self._random.random()
        for name in FAULTS:
            if name not in ANY_CALL and (call.service, call.method) not in _CALLS[name]:
                continue
            point -= getattr(self.rates, name)
            if point < 0:
                return self._of(name)
        return NO_FAULT

    def _of(self, name: str) -> Fault:
        rates, random = self.rates, self._random
        if name == "delay":
            return Fault(name, seconds=random.uniform(-rates.max_delay_seconds, rates.max_delay_seconds))
        if name == "second_copy":
            return Fault(name, seconds=random.randrange(rates.max_copy_seconds + 1))
        if name in ("reorder", "short_page"):
            return Fault(name, number=random.randrange(1, 8))
        return Fault(name)

    # ---- faults of any call

    async def _disturb(self, fault: Fault, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        what = f"{call.service} {call.method} on {call.target}"
        if fault.name == "fail_before":
            raise TransientStorageError(f"injected: {what} failed before it acted")
        if fault.name == "throttle":
            raise TransientStorageError(
                f"injected: {what} was throttled", retry_after_seconds=self.rates.retry_after_seconds
            )
        if fault.name == "lose_reply":
            await self._act_silently(act)
            raise TransientStorageError(f"injected: the reply to {what} was lost")
        if fault.name == "act_twice":
            await self._act_silently(act)
            return await act()
        return await self._late(act, fault.seconds)

    async def _act_silently(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Act; whatever the answer is, nobody hears it."""
        try:
            await act()
        except StorageError:
            return

    async def _late(self, act: Callable[[], Awaitable[Any]], seconds: float) -> Any:
        if seconds >= 0:
            await self._sleep(seconds)
            return await act()
        try:
            answer = await act()
        except StorageError:
            await self._sleep(-seconds)
            raise
        await self._sleep(-seconds)
        return answer

    # ---- faults of some calls

    async def _bend(self, fault: Fault, storage: Storage, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        """Carry a call out with a fault, which counts if there is anything to strike."""
        if fault.name == "second_copy":
            answer = await act()
            self._count(fault, has_struck=True)
            after = call.options.get("visible_after", 0) + int(fault.seconds)
            await storage.queues.put(call.target, *call.arguments, visible_after=min(after, MAX_INVISIBLE_SECONDS))
            return answer
        if fault.name == "reorder":
            found = list(await act())
            shift = fault.number % max(len(found), 1)
            self._count(fault, has_struck=len(found) > 1)
            return [*reversed(found[shift:]), *found[:shift]]
        if fault.name == "short_hiding":
            messages = await storage.queues.get(call.target, *call.arguments, **{**call.options, "invisible_for": 1})
            self._count(fault, has_struck=bool(messages))
            return messages
        if fault.name == "short_page":
            top = min(fault.number, call.options.get("top") or fault.number)
            page = await storage.tables.query(call.target, *call.arguments, **{**call.options, "top": top})
            self._count(fault, has_struck=page.token is not None)
            return page
        await self._touch(fault, storage, call)
        return await act()

    def _count(self, fault: Fault, *, has_struck: bool) -> None:
        self.injected[fault.name if has_struck else "none"] += 1

    async def _touch(self, fault: Fault, storage: Storage, call: Call) -> None:
        (given,) = call.arguments
        operations: Sequence[TableWrite] = (given,) if isinstance(given, TableWrite) else given
        guarded = [operation for operation in operations if operation.if_match is not None]
        self._count(fault, has_struck=bool(guarded))
        if guarded:
            row = guarded[-1].row
            nothing = TableWrite(Write.MERGE, Row(row.partition_key, row.row_key, {}), if_match=guarded[-1].if_match)
            await self._act_silently(lambda: storage.tables.write(call.target, nothing))


_CALLS = {
    "second_copy": {("queue", "put")},
    "reorder": {("queue", "get")},
    "short_hiding": {("queue", "get")},
    "short_page": {("table", "query")},
    "touch": {("table", "write"), ("table", "batch")},
}
