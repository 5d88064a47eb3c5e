"""What befalls a run: drawn from its seed the first time, and played again from a list, whole or in part.

A run asks at each step of the loop and at each call to the store whether something befalls it there. Either that is
drawn, and noted, or it stands in a list that was given. So what happened in one run can be made to happen again, also
without some of it, which is what makes a failing run smaller.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.storage.faults import NO_FAULT, Fault, FaultInjector

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence

    from taskhub.storage.faults import FaultRates
    from taskhub.storage.interception import Call


@dataclass(frozen=True, order=True)
class Fate:
    """One thing that befalls a run."""

    where: str
    """``step``, of the event loop, or a call to the store: ``queue put on hub-workitems``."""
    number: int
    """Which one of these, counted from the beginning of the run."""
    kind: str
    """``kill``, ``pause``, ``move``, or a fault by its name in :class:`~taskhub.storage.faults.FaultRates`."""
    who: str = ""
    """Whom it befalls; of a fault, whoever makes the call."""
    seconds: float = 0.0
    """Until a killed process is back; how long a pause or a delay lasts; how much later a second copy is seen."""
    rows: int = 0
    """Of a short page; which order messages come in."""


class Fates:
    """What befalls one run.

    Args:
        given: what is to happen, and nothing else; ``None``: what is drawn.
        kinds: of what is drawn, the kinds that happen; ``None``: all.
        most: of what is drawn, how many happen.
    """

    def __init__(
        self, given: Iterable[Fate] | None = None, *, kinds: Collection[str] | None = None, most: int | None = None
    ) -> None:
        self.happened: list[Fate] = []
        """In order."""
        self._kinds = kinds
        self._most = most
        self._given: dict[tuple[str, int], list[Fate]] | None = None
        if given is not None:
            self._given = defaultdict(list)
            for fate in given:
                self._given[fate.where, fate.number].append(fate)

    def at(self, where: str, number: int, draw: Callable[[], Iterable[Fate]]) -> Sequence[Fate]:
        """Return what happens at one place.

        Args:
            where: as in :class:`Fate`.
            number: the same.
            draw: draws it; not asked where it is given.
        """
        if self._given is not None:
            fates = self._given.get((where, number), [])
        else:
            fates = list(draw())
            if not fates:
                return fates
            if self._kinds is not None:
                fates = [fate for fate in fates if fate.kind in self._kinds]
            if self._most is not None:
                fates = fates[: max(0, self._most - len(self.happened))]
        self.happened += fates
        return fates

    @property
    def counts(self) -> Counter[str]:
        """How often each kind happened."""
        return Counter(fate.kind for fate in self.happened)


class FatedFaults(FaultInjector):
    """Faults of the store that are among what befalls a run.

    Args:
        fates: of the run.
        rates: how often each is drawn.
        random: where they are drawn from.
        sleep: the clock's.
        tell: is told what strikes.
    """

    def __init__(
        self,
        fates: Fates,
        rates: FaultRates,
        random: random.Random,
        sleep: Callable[[float], Awaitable[None]],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(rates, random, sleep)
        self._fates = fates
        self._tell = tell
        self._calls: Counter[str] = Counter()

    def draw(self, call: Call) -> Fault:
        """Return what strikes a call: what is drawn, or what stands in the list that is played again."""
        where = f"{call.service} {call.method} on {call.target}"
        self._calls[where] += 1
        for fate in self._fates.at(where, self._calls[where], lambda: self._fate_of(call, where)):
            self._tell(f"'{where}' meets a fault: {fate.kind.replace('_', ' ')}")
            return Fault(fate.kind, fate.seconds, fate.rows)
        return NO_FAULT

    def _fate_of(self, call: Call, where: str) -> Iterator[Fate]:
        fault = super().draw(call)
        if fault is not NO_FAULT:
            yield Fate(where, self._calls[where], fault.name, seconds=fault.seconds, rows=fault.number)
