"""A store that fails as a network and a busy service do, from a seed.

Five things may happen to a call, each at its rate: it fails before it acts; it acts and its reply is lost; it
acts twice, as when a layer below repeats it, and the caller gets the second outcome (a refusal, often, of what
the first has done); it is late, before or after it acts; it is throttled. All but lateness surface as
:class:`~taskhub.errors.TransientStorageError`. A batch acts as a whole or not at all, as the port promises.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.errors import StorageError, TransientStorageError
from taskhub.storage.interception import Call, intercepted

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from taskhub.storage.port import Storage


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often each fault strikes, as a share of the calls; together at most 1."""

    fail_before: float = 0.0
    lose_reply: float = 0.0
    act_twice: float = 0.0
    delay: float = 0.0
    throttle: float = 0.0
    retry_after_seconds: float | None = None
    """What a throttled call is told."""
    max_delay_seconds: float = 5.0
    """A late call is late by up to this, at even odds before or after it acts."""

    def __post_init__(self) -> None:
        rates = (self.fail_before, self.lose_reply, self.act_twice, self.delay, self.throttle)
        if min(rates) < 0 or sum(rates) > 1:
            raise ValueError(f"fault rates are shares of all calls, together at most 1: {rates}")


NO_FAULTS = FaultRates()


@dataclass(frozen=True, slots=True)
class Fault:
    """What strikes one call."""

    name: str
    """As in :class:`FaultRates`, or ``none``."""
    seconds: float = 0.0
    """How late the call is: before it acts, or when negative, after it acted."""


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
        """How often each fault struck, by the names in :class:`FaultRates`, and ``none``."""
        self._random = random
        self._sleep = sleep

    def __repr__(self) -> str:
        struck = ", ".join(f"{name} {count}" for name, count in sorted(self.injected.items()))
        return f"<FaultInjector {struck or 'unused'}>"

    def wrap(self, storage: Storage) -> Storage:
        """Return a store whose calls may fail."""
        return intercepted(storage, self._around)

    async def _around(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        fault = self.draw(call)
        self.injected[fault.name] += 1
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
        if fault.name == "delay":
            return await self._late(act, fault.seconds)
        return await act()

    def draw(self, call: Call) -> Fault:
        """Return what strikes a call, drawn from the rates; a simulation that plays faults again overrides it."""
        rates = self.rates
        point = self._random.random()
        for name in ("fail_before", "lose_reply", "act_twice", "delay", "throttle"):
            point -= getattr(rates, name)
            if point < 0:
                limit = rates.max_delay_seconds if name == "delay" else 0.0
                return Fault(name, self._random.uniform(-limit, limit) if limit else 0.0)
        return NO_FAULT

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
