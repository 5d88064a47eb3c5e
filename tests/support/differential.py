"""Compares our SDK's answers with the official package's, over random programs and histories.

An *example* is a program with the triggers that its function gets: for an orchestrator the context of every episode
that a simulated host played, dressed as hosts differ, and one that is damaged; for an entity some batches.
``Comparison.check`` asks both sides about each of them, a *case* each, and gives the *findings*: differences that no
mend explains (``mends.py``).
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import hypothesis
from azure.durable_functions.replay import Restarted
from hypothesis import strategies as st

from tests.support.answers import MODULE, answers, be_strict, load
from tests.support.entity_programs import entity_source
from tests.support.histories import corrupted, dressed
from tests.support.mends.all import MENDS, Mend, taken_back
from tests.support.mends.replay import EARLY
from tests.support.program_strategies import entity_programs, entity_triggers, rich_programs
from tests.support.programs import source
from tests.support.simulated_host import LEG, LIMIT, SimulatedHost, span_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.reference import Reference

    Answer = dict[str, Any]

MAX_EPISODES = 12
FORMS = 2
"""Contexts of an episode, dressed differently."""
MAX_GENERATIONS = 2
MAX_REDUCTIONS = 3_000
ROUND = 400
"""Examples that hypothesis writes at a time; it remembers what it has written, so not too many."""

INPUTS: tuple[tuple[Any, bool], ...] = (
    *(((None, False), (1, False), ({"a": [1]}, False), ("text", False)) * 3),
    (5, True),
    ("raw", True),
    ({"a": 1}, True),
)
"""Inputs, and whether they were stored bare."""

SCHEMAS: tuple[tuple[int | None, int | None], ...] = (
    *((1, 2), (1, 3)) * 4,
    (1, 99),
    (0, None),
    (1, None),
    (1, 1),
    (1, 0),
    (2, 1),
    (0, 2),
    (None, 2),
    (None, None),
)
"""``upperSchemaVersion`` and ``upperSchemaVersionNew``; ``None`` leaves the key out."""

SPANS: tuple[tuple[timedelta | None, timedelta | None], ...] = (
    (LIMIT, LEG),
    (timedelta(days=6), timedelta(days=3)),
    (timedelta(0), timedelta(0)),
    (None, None),
    (LIMIT, None),
    (timedelta(0), LEG),
    (timedelta(seconds=30), timedelta(seconds=10)),
)
"""``maximumShortTimerDuration`` and ``longRunningTimerIntervalDuration``; ``None`` leaves the key out."""

QUIET = tuple(mend for mend in MENDS if mend.name == EARLY)
LOUD = tuple(mend for mend in MENDS if mend.name != EARLY)

REFUSED = "damage that both packages refuse, in other words"
SURVIVED = "damage that stops the official package only"
NAMED = "damage that this package refuses by name"
STUMBLED = "the official package stumbles over a task that completes twice"


@dataclass(frozen=True)
class Trigger:
    """What the host hands to a function.

    Attributes:
        content: before it becomes text.
        is_damaged: no host would hand it over.
    """

    content: Any
    is_damaged: bool

    @cached_property
    def text(self) -> str:
        return json.dumps(self.content)


@dataclass(frozen=True)
class Example:
    """A program and the triggers of its function.

    Attributes:
        program: of ``programs.py`` for an orchestrator (a list), of ``entity_programs.py`` for an entity (a mapping).
        triggers: each is a case.
        strict: whether custom classes are decoded in strict mode.
    """

    program: Any
    triggers: tuple[Trigger, ...]
    strict: bool = False

    @cached_property
    def source(self) -> str:
        return entity_source(self.program) if isinstance(self.program, dict) else source(self.program)

    def ours(self) -> list[Answer]:
        return answers(self.source, [trigger.text for trigger in self.triggers], strict=self.strict)

    def only(self, trigger: Trigger) -> Example:
        return Example(self.program, (trigger,), self.strict)


# -- examples --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HostForm:
    """What a host agrees on with the SDK; the same for all episodes of an execution."""

    schema: tuple[int | None, int | None]
    spans: tuple[timedelta | None, timedelta | None]

    @property
    def limits(self) -> tuple[timedelta, timedelta]:
        """Limit and leg of timers, zero where the SDK does not split them."""
        upper, newer = self.schema
        if max(upper or 0, newer or 0) < 2 or None in self.spans:
            return timedelta(0), timedelta(0)
        return self.spans  # type: ignore[return-value]  # None is in neither

    def put_into(self, context: dict[str, Any]) -> None:
        values: dict[str, Any] = dict(zip(("upperSchemaVersion", "upperSchemaVersionNew"), self.schema, strict=True))
        spans = [None if span is None else span_text(span) for span in self.spans]
        values |= dict(zip(("maximumShortTimerDuration", "longRunningTimerIntervalDuration"), spans, strict=True))
        for key, value in values.items():
            context.pop(key, None)
            if value is not None:
                context[key] = value


@st.composite
def orchestrations(draw: st.DrawFn) -> Example:
    """Return an orchestrator with the contexts of its episodes."""
    program = draw(rich_programs())
    rng = random.Random(draw(st.integers(0, 2**32)))
    strict = draw(st.integers(0, 9)) == 9
    be_strict(strict)
    # The history is that of the official package: with ours, other ids could follow from a mend.
    with taken_back(MENDS), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        triggers = tuple(_triggers(load(source(program)).flow, rng))
    return Example(program, triggers, strict)


@st.composite
def entities(draw: st.DrawFn) -> Example:
    """Return an entity with some batches."""
    program = draw(entity_programs())
    batches = draw(st.lists(entity_triggers(), min_size=1, max_size=6))
    triggers = tuple(Trigger(content, is_damaged) for content, is_damaged in batches)
    return Example(program, triggers, strict=draw(st.integers(0, 9)) == 9)


def _triggers(flow: Any, rng: random.Random) -> Iterator[Trigger]:
    form = HostForm(rng.choice(SCHEMAS), rng.choice(SPANS))
    limit, leg = form.limits
    given, is_bare = rng.choice(INPUTS)
    for _ in range(MAX_GENERATIONS):
        host = SimulatedHost(flow, rng, input=given, is_bare=is_bare, event_names=("go", "stop"), limit=limit, leg=leg)
        outcome = yield from _play(host, form, rng)
        if not isinstance(outcome, Restarted):
            break
        given, is_bare = json.loads(json.loads(outcome.input)), False


def _play(host: SimulatedHost, form: HostForm, rng: random.Random) -> Any:
    decisions = host.start()
    for _ in range(MAX_EPISODES):
        context = json.loads(host.context())
        form.put_into(context)
        for _ in range(FORMS):
            yield Trigger(dressed(context, rng), is_damaged=False)
        if decisions.outcome is not None:
            break
        host.commit(decisions)
        arrived = host.arrivals()
        if not arrived:
            break
        decisions = host.episode(arrived)
    if rng.random() > 0.5:
        yield Trigger(corrupted(dressed(context, rng), rng), is_damaged=True)
    host.warm.close()
    return decisions.outcome


# -- comparing -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """A case with a difference that nothing explains."""

    example: Example
    ours: Answer
    official: Answer


class Comparison:
    """Asks both sides and keeps count.

    Attributes:
        cases: how many were compared.
        agreed: how many of them had the same answer.
        explained: how many differ, by the names of the mends that explain it.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.cases = 0
        self.agreed = 0
        self.explained: Counter[tuple[str, ...]] = Counter()

    def check(self, example: Example) -> list[Finding]:
        """Compare the cases of an example; return those whose difference nothing explains."""
        findings = []
        for trigger, ours, official in zip(example.triggers, *self._both(example), strict=True):
            self.cases += 1
            if same(ours, official):
                self.agreed += 1
                continue
            case = example.only(trigger)
            if self._is_explained(case, ours, official):
                self.explained[tuple(self._explanation(case, ours, official))] += 1
            else:
                findings.append(Finding(case, ours, official))
        return findings

    def _both(self, example: Example) -> tuple[list[Answer], list[Answer]]:
        """Return our answers and the official ones; both sides work at the same time.

        That events which come early give no warning is taken back from the start: it shows in half of all histories,
        and would hide there how many agree.
        """
        texts = [trigger.text for trigger in example.triggers]
        self._reference.ask(example.source, texts, strict=example.strict)
        with taken_back(QUIET):
            ours = example.ours()
        return ours, self._reference.told()

    def _is_explained(self, case: Example, ours: Answer, official: Answer) -> bool:
        return _agrees(case, LOUD, official) or _verdict_on_failure(case, ours, official) is not None

    def _explanation(self, case: Example, ours: Answer, official: Answer) -> list[str]:
        """Return the names of the fewest mends that make a difference which is explained."""
        if not _agrees(case, LOUD, official):
            return [str(_verdict_on_failure(case, ours, official))]
        needed = list(LOUD)
        for names, _ in self.explained.most_common(8):  # what explained a difference before is tried first
            known = [mend for mend in LOUD if mend.name in names]
            if known and _agrees(case, known, official):
                needed = known
                break
        width = max(1, len(needed) // 2)
        while width and needed:
            start = 0
            while start < len(needed):
                fewer = [*needed[:start], *needed[start + width :]]
                if _agrees(case, fewer, official):
                    needed = fewer
                else:
                    start += width
            width //= 2
        return [mend.name for mend in needed]

    def reduce(self, finding: Finding) -> Finding:
        """Return the finding with as little program and trigger as still differ."""
        smallest = finding
        tried = 0
        progress = True
        while progress and tried < MAX_REDUCTIONS:
            progress = False
            for example in _smaller(smallest.example):
                tried += 1
                found = self._try(example)
                if found is not None:
                    smallest, progress = found, True
                    break
        return smallest

    def _try(self, example: Example) -> Finding | None:
        try:
            compile(example.source, MODULE, "exec")
        except Exception:  # what was cut out leaves no program
            return None
        [ours], [official] = self._both(example)
        if same(ours, official) or self._is_explained(example, ours, official):
            return None
        return Finding(example, ours, official)


def same(ours: Answer, official: Answer) -> bool:
    """Whether two answers are the same JSON, order of keys included."""
    return json.dumps(ours) == json.dumps(official)


def _verdict_on_failure(case: Example, ours: Answer, official: Answer) -> str | None:
    """Name a difference that says only how well a package copes; ``None`` if the official one has a proper answer."""
    if official["raised"] is not None and "completed twice" in official["raised"]["prefix"]:
        return STUMBLED
    if not case.triggers[0].is_damaged:
        return None
    if _refuses(official):
        return REFUSED if _refuses(ours) else SURVIVED
    return NAMED if _refuses(ours) and ours["raised"]["type"] in _NAMED else None


_NAMED = ("CorruptHistoryError", "MalformedContextError")


def _refuses(answer: Answer) -> bool:
    """Whether an answer is an error of the trigger, not of user code."""
    return answer["raised"] is not None and answer["state"] is None


def _agrees(case: Example, mends: tuple[Mend, ...] | list[Mend], official: Answer) -> bool:
    with taken_back([*QUIET, *mends]):
        return same(case.ours()[0], official)


def explore(
    comparison: Comparison,
    *,
    seed: int,
    seconds: float = math.inf,
    examples: int | None = None,
    kinds: Sequence[st.SearchStrategy[Example]] | None = None,
) -> Iterator[Finding]:
    """Compare random examples and yield what nothing explains, reduced, each but once.

    Args:
        comparison: asks both sides.
        seed: of all that is random.
        seconds: when to stop, between two examples.
        examples: how many examples at most.
        kinds: what to write; orchestrations for the most part, and entities.
    """
    kinds = kinds or (orchestrations(), orchestrations(), orchestrations(), entities())
    until = time.monotonic() + seconds
    known: set[str] = set()
    for round_ in itertools.count():
        size = ROUND if examples is None else min(ROUND, examples - round_ * ROUND)
        if size <= 0 or time.monotonic() >= until:
            return
        for finding in _round(comparison, st.one_of(*kinds), seed + round_, size, until):
            smallest = comparison.reduce(finding)
            if smallest.example.source not in known:
                known.add(smallest.example.source)
                yield smallest


def _round(
    comparison: Comparison, strategy: st.SearchStrategy[Example], seed: int, examples: int, until: float
) -> list[Finding]:
    """Compare some examples. Hypothesis writes them only: it is not told of findings, which are reduced here."""
    findings: list[Finding] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def compare(example: Example) -> None:
        if time.monotonic() < until:
            findings.extend(comparison.check(example)[:1])

    compare()
    return findings


# -- reducing --------------------------------------------------------------------------------------------------------


def _smaller(example: Example) -> Iterator[Example]:
    trigger = example.triggers[0]
    for program in _pruned(example.program):
        yield Example(program, example.triggers, example.strict)
    for content in _shorter(trigger):
        yield Example(example.program, (Trigger(content, trigger.is_damaged),), example.strict)
    if example.strict:
        yield Example(example.program, example.triggers, strict=False)


def _pruned(node: Any) -> Iterator[Any]:
    """Yield a program with less in it: large cuts first, then a node in place of its parent, then within."""
    if isinstance(node, dict):
        for key in node:
            yield {other: each for other, each in node.items() if other != key}
        for key, each in node.items():
            for smaller in _pruned(each):
                yield {**node, key: smaller}
    elif isinstance(node, (list, tuple)):
        size = len(node)
        for width in (size // 2, 1) if size > 2 else (1,):
            for start in range(0, size, width):
                yield [*node[:start], *node[start + width :]]
        for each in node:
            if isinstance(each, (list, tuple)) and each and isinstance(each[0], str):
                yield each
            elif isinstance(each, (list, tuple)):
                yield from (inner for inner in each if isinstance(inner, (list, tuple)))
        for index, each in enumerate(node):
            for smaller in _pruned(each):
                yield [*node[:index], smaller, *node[index + 1 :]]


def _shorter(trigger: Trigger) -> Iterator[Any]:
    content = trigger.content
    key = "history" if "history" in content else "batch"
    items = content.get(key)
    if not isinstance(items, list):
        return
    kept = 2 if key == "history" and not trigger.is_damaged else 0
    for width in (8, 3, 1):
        for start in range(kept, len(items), width):
            yield {**content, key: [*items[:start], *items[start + width :]]}


# -- golden cases ----------------------------------------------------------------------------------------------------


def golden_case(finding: Finding, name: str) -> dict[str, str]:
    """Return the files of a case, by name, in the form of ``tests/golden/outofproc``."""
    official = finding.official
    files = {
        "context.json": _pretty(finding.example.triggers[0].content),
        "orchestrator.py": finding.example.source,
        "state.json": _pretty(official["state"]),
    }
    if official["raised"] is not None:
        files["raised.json"] = _pretty(official["raised"])
    return {file: text.replace(MODULE, f"case_{name}") for file, text in files.items()}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
