"""Runs a test under many seeds, in worlds where workers die and messages come twice, and makes what fails small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from azure.durable_functions.testing.errors import DurableWorldError

from taskhub.simulation.fates import Fate, Fates
from taskhub.simulation.hub import Risks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SHRINKING_RUNS = 100
_STORY_LINES = 60


@dataclass(frozen=True)
class Exploration:
    """What is tried."""

    seeds: int = 50
    first_seed: int = 1
    kills: bool = True
    duplicates: bool = True
    delays: bool = False
    reordering: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be tried."""
        if self.seeds < 1:
            raise DurableWorldError(f"seeds must be at least 1, not {self.seeds}")
        if not self.risks:
            raise DurableWorldError("nothing may befall the world: set kills, duplicates, delays or reordering")

    @property
    def risks(self) -> Risks:
        """What may befall the world."""
        return Risks(self.kills, self.duplicates, self.delays, self.reordering)


@dataclass(frozen=True)
class _Failure:
    error: BaseException
    fates: tuple[Fate, ...]
    story: str


class Runs(Protocol):
    """A world that can begin again."""

    @property
    def story(self) -> str:
        """What has happened in this run."""

    @property
    def exposed_steps(self) -> int:
        """Steps of this run at which something could befall it."""

    def begin_again(self, seed: int, risks: Risks, fates: Fates, steps: int) -> None:
        """Begin a run; ``steps`` is how many to expect."""


class Explorer:
    """Runs one test again and again.

    Args:
        world: in which it runs; made anew for each run.
        scenario: the test.
        exploration: what is tried.
        failures: what counts as a failure of the test.
    """

    def __init__(
        self,
        world: Runs,
        scenario: Callable[[], object],
        exploration: Exploration,
        failures: tuple[type[BaseException], ...] = (Exception,),
    ) -> None:
        self._world = world
        self._scenario = scenario
        self._exploration = exploration
        self._failures = failures
        self._steps = 1

    def run(self, *, how_to_repeat: Callable[[int], str], tell: Callable[[str], object]) -> None:
        """Run the test in a calm world, then under each seed; raise what the first seed that fails raises.

        Args:
            how_to_repeat: says how a seed is run again.
            tell: takes the report of the seed that fails.
        """
        self._world.begin_again(0, Risks(), Fates(), 1)
        self._scenario()  # what fails in a calm world is no matter of seeds
        self._steps = self._world.exposed_steps
        exploration = self._exploration
        for seed in range(exploration.first_seed, exploration.first_seed + exploration.seeds):
            failure = self._try(seed, Fates())
            if failure is not None:
                small = self._shrunk(seed, failure)
                tell(self._report(seed, failure, small, how_to_repeat(seed)))
                raise small.error

    def _try(self, seed: int, fates: Fates) -> _Failure | None:
        self._world.begin_again(seed, self._exploration.risks, fates, self._steps)
        try:
            self._scenario()
        except self._failures as error:
            return _Failure(error, tuple(fates.happened), self._world.story)
        return None

    def _shrunk(self, seed: int, failure: _Failure) -> _Failure:
        """Return a failure of the same kind with as little of what befell the run as can be found."""
        best = failure
        size = max(len(best.fates), 1)
        runs = 0
        while size >= 1 and runs < _SHRINKING_RUNS:
            at = 0
            while at < len(best.fates) and runs < _SHRINKING_RUNS:
                runs += 1
                smaller = self._try(seed, Fates([*best.fates[:at], *best.fates[at + size :]]))
                if smaller is not None and type(smaller.error) is type(failure.error):
                    best = smaller
                else:
                    at += size
            size //= 2
        return self._alone(seed, best) if len(best.fates) > 1 else best

    def _alone(self, seed: int, failure: _Failure) -> _Failure:
        """Return a failure of the same kind with one death only, if there is one.

        Without the deaths before it, the one that matters comes at another step.
        """
        steps = max(fate.number for fate in failure.fates)
        for fate in reversed([fate for fate in failure.fates if fate.kind == "kill"]):
            for step in range(1, steps + 1, max(1, steps // _SHRINKING_RUNS)):
                smaller = self._try(seed, Fates([replace(fate, number=step)]))
                if smaller is not None and type(smaller.error) is type(failure.error):
                    return smaller
        return failure

    def _report(self, seed: int, failure: _Failure, small: _Failure, how_to_repeat: str) -> str:
        last = self._exploration.first_seed + self._exploration.seeds - 1
        lines = [f"Seed {seed} fails, of {self._exploration.first_seed} to {last}. To run it alone: {how_to_repeat}"]
        if small.fates:
            befell = _count(len(failure.fates))
            lines.append(f"Of {befell} that befell the run, {_count(len(small.fates))} will do:")
            lines += [f"  {_described(fate)}" for fate in small.fates]
        else:
            lines.append("Nothing need befall the run: the order in which things happen, or a replay, is enough.")
        story = small.story.splitlines()
        lines += ["What happened:", *(f"  {line}" for line in _ends(story))]
        return "\n".join(lines)


def _count(number: int) -> str:
    return "1 thing" if number == 1 else f"{number} things"


def _described(fate: Fate) -> str:
    match fate.kind:
        case "kill":
            return f"{fate.who} is killed at step {fate.number}"
        case "pause":
            return f"{fate.who} stands still for {fate.seconds:g} s at step {fate.number}"
        case "act_twice":
            return f"call {fate.number} of '{fate.where}' is carried out twice"
        case "lose_reply":
            return f"the reply to call {fate.number} of '{fate.where}' is lost"
        case kind:
            return f"call {fate.number} of '{fate.where}': {kind}"


def _ends(story: Sequence[str]) -> list[str]:
    if len(story) <= _STORY_LINES:
        return list(story)
    half = _STORY_LINES // 2
    return [*story[:half], f"… {len(story) - 2 * half} lines …", *story[-half:]]
