"""Hypothesis strategies that write programs (``programs.py``, ``entity_programs.py``)."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

_HOUR = 3600
_NAMES = ["go", "Go", "stop"]

_SPECIAL = [
    {"$": "point", "of": 1},
    {"$": "point", "of": {"$": "point", "of": "é"}},
    [{"$": "point", "of": None}, 2],
    {"$": "tuple", "of": 1},
    {"$": "nan"},
    {"$": "set", "of": 1},
    {"$": "broken"},
    {"$": "bytes", "of": 1},
    {"$": "object_key", "of": 1},
    {"a": {"$": "set", "of": 1}},
]
"""Values that are no JSON; the last ones cannot be encoded at all."""

_PLAIN = [None, 1, "é", {"k": [1]}, 0, "", False, [], [1.5, None], "plain text"]

_VALUES = st.sampled_from([*_PLAIN * 6, *_SPECIAL[:5] * 2, *_SPECIAL])
_EXPECTED = st.sampled_from([None, None, None, "int", "str", "dict", "Point", "list[int]"])


def _tasks(counter: itertools.count[int]) -> st.SearchStrategy[Any]:
    """Return tasks of any depth that both shells run alike; names of retried calls are told apart by a number."""
    seconds = st.sampled_from([0, 1, 5, 60, 9 * _HOUR, 15 * _HOUR, 30 * _HOUR])
    leaf = st.one_of(
        st.tuples(st.just("activity"), st.sampled_from(["A", "B"]), st.sampled_from([None, 1, "é", {"k": [1]}])),
        st.builds(
            lambda s, n: ["retry", f"retried-{next(counter)}", s, n], st.sampled_from([1, 30]), st.integers(1, 3)
        ),
        st.tuples(st.just("child"), st.just("Child"), st.sampled_from([None, "child-1"])),
        st.builds(lambda s, n: ["child_retry", f"retried-{next(counter)}", s, n], st.just(2), st.integers(1, 2)),
        st.tuples(st.just("timer"), seconds),
        st.tuples(st.just("event"), st.sampled_from(_NAMES)),
        st.tuples(st.just("entity"), st.sampled_from(["k1", "k2"])),
        st.tuples(st.just("http"), st.just("x")),
        st.tuples(st.just("kept"), st.integers(0, 5)),
    )
    return _nested(leaf)


def _nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf,
        lambda inner: st.tuples(st.sampled_from(["all", "all", "any"]), st.lists(inner, max_size=4)),
        max_leaves=6,
    )


@st.composite
def programs(draw: st.DrawFn) -> list[Any]:
    """Return a program of up to seven statements."""
    task = _tasks(itertools.count())
    statement = st.one_of(
        st.tuples(st.just("yield"), task),
        st.tuples(st.just("try"), task),
        st.tuples(st.just("try"), task),
        st.tuples(st.just("race"), task, st.sampled_from([1, 60, 15 * _HOUR])),
        st.tuples(st.just("make"), task),
        st.tuples(st.just("signal"), st.sampled_from(["k1", "k2"])),
        st.tuples(st.just("status"), st.sampled_from([None, 0, "é", {"step": [1, 2]}])),
        st.just(("ids",)),
        st.tuples(st.just("raise"), st.sampled_from(["boom", ""])),
        st.tuples(st.just("restart"), st.integers(1, 2)),
        st.tuples(st.just("return"), st.sampled_from([None, 0, "é", [1.5]])),
    )
    return draw(st.lists(statement, max_size=7))


# -- everything that the JSON protocol can be made to say ------------------------------------------------------------


def _all_tasks() -> st.SearchStrategy[Any]:
    activity = st.sampled_from([*["A", "B", "$Typed"] * 8, "$Child", "$untyped", ""])
    child = st.sampled_from([*["Child", "$Child"] * 8, "$Typed", ""])
    seconds = st.sampled_from([5, 60, 0, -60, 9 * _HOUR, 15 * _HOUR, 30 * _HOUR])
    form = st.sampled_from([*[None] * 24, *["naive", "east"] * 2, "date", "text"])
    attempts = st.sampled_from([*[1, 2, 3] * 8, 0])
    interval = st.sampled_from([*[1, 30] * 12, 0])
    name = st.sampled_from([*_NAMES * 8, ""])
    leaf = st.one_of(
        st.tuples(st.just("activity"), activity, _VALUES, _EXPECTED),
        st.tuples(st.just("activity"), activity, _VALUES, _EXPECTED),
        st.tuples(st.just("retry"), activity, interval, attempts, _EXPECTED),
        st.tuples(
            st.just("child"), child, st.sampled_from([None, "child-1", ""]), st.sampled_from([None, "2.0"]), _EXPECTED
        ),
        st.tuples(st.just("child_retry"), child, interval, attempts, st.sampled_from([None, "child-1"])),
        st.tuples(st.just("timer"), seconds, form),
        st.tuples(st.just("timer"), seconds, form),
        st.tuples(st.just("event"), name, _EXPECTED),
        st.tuples(st.just("event"), name, _EXPECTED),
        st.tuples(
            st.just("entity"), st.sampled_from(["k1", "K1"]), st.sampled_from(["get", "add"]), _VALUES, _EXPECTED
        ),
        st.tuples(st.just("http"), st.just("x"), _VALUES, st.sampled_from([*[False] * 7, True]), st.booleans()),
        st.tuples(st.just("kept"), st.integers(0, 5)),
        st.tuples(st.just("kept"), st.integers(0, 5)),
        st.sampled_from([*[("kept", 0)] * 6, ("none", None), ("none", 5), ("none", [])]),
    )
    return _nested(leaf)


_EXCEPTIONS = st.sampled_from(["ValueError", "KeyError", "Refused", "RuntimeError", "StopIteration", "Exception"])
_TEXTS = st.sampled_from(["boom", "", "é\nline"])

_RARE = st.one_of(
    st.tuples(st.just("raise"), _TEXTS, _EXCEPTIONS),
    st.tuples(st.just("return"), _VALUES),
    st.tuples(st.just("restart_with"), _VALUES),
    st.tuples(st.just("clock"), st.sampled_from([1, 7200, -60])),
)

_QUIET = [
    st.tuples(st.just("make"), _all_tasks()),
    st.tuples(st.just("look"), st.integers(0, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("signal"), st.sampled_from(["k1", "K1"]), _VALUES),
    st.tuples(st.just("status"), _VALUES),
    st.just(("ids",)),
    st.just(("facts",)),
    st.tuples(st.just("input"), _EXPECTED),
    st.tuples(st.just("restart"), st.integers(1, 2)),
    _RARE,
]


def _waiting() -> list[st.SearchStrategy[Any]]:
    task = _all_tasks()
    return [
        st.tuples(st.just("try"), task),
        st.tuples(st.just("try"), task),
        st.tuples(st.just("yield"), task),
        st.tuples(st.just("race"), task, st.sampled_from([1, 60, 15 * _HOUR])),
        st.tuples(st.just("both"), task, task),
        st.one_of(
            st.tuples(st.just("rethrow"), task, _EXCEPTIONS, _TEXTS),
            st.tuples(st.just("tidy"), task, _VALUES),
            st.tuples(st.just("answer"), task),
        ),
    ]


_STATEMENT = st.recursive(
    st.one_of(*_waiting(), *_waiting(), *_waiting(), *_QUIET),
    lambda inner: st.one_of(
        st.tuples(st.just("part"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("repeat"), st.integers(1, 3), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=3,
)


@st.composite
def rich_programs(draw: st.DrawFn) -> list[Any]:
    """Return a program of whatever the context offers, well and badly used."""
    if draw(st.integers(0, 19)) == 19:
        return [("plain",), *draw(st.lists(st.one_of(*_QUIET), max_size=5))]
    return draw(st.lists(_STATEMENT, min_size=1, max_size=8))


# -- entities --------------------------------------------------------------------------------------------------------

_ENTITY_STATEMENT = st.one_of(
    st.tuples(st.just("state"), st.sampled_from([None, "dict", "lambda: 0", "0"]), _EXPECTED),
    st.tuples(st.just("input"), _EXPECTED),
    st.tuples(st.just("set_state"), _VALUES),
    st.tuples(st.just("set_result"), _VALUES),
    st.just(("show",)),
    st.just(("grow",)),
    st.just(("destruct",)),
    st.tuples(st.just("raise"), _TEXTS, _EXCEPTIONS),
    st.tuples(st.just("return"), _VALUES),
)

_OPERATIONS = ("add", "get", "reset")


@st.composite
def entity_programs(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Return what an entity does for each of its operations."""
    return {name: draw(st.lists(_ENTITY_STATEMENT, max_size=4)) for name in _OPERATIONS}


_STATES = [
    None, "0", "10", "null", '{"a": [1]}', '"text"', "[]", " 7", "no json", "",
    '{"__class__": "Point", "__module__": "case_random", "__data__": 5}',
]  # fmt: skip
_INPUTS = [
    '"1"', '"null"', '"\\"text\\""', '"{\\"a\\": 1}"', None, "5", '{"a": 1}', "[1]", '"plain"', "no json", "",
    '"{\\"__class__\\": \\"Point\\", \\"__module__\\": \\"case_random\\", \\"__data__\\": 5}"',
]  # fmt: skip

_OPERATION = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*_OPERATIONS, *_OPERATIONS, *_OPERATIONS, *_OPERATIONS, "other", None]),
        "input": st.sampled_from([*_INPUTS[:4], *_INPUTS]),
        "isSignal": st.booleans(),
    }
)


@st.composite
def entity_triggers(draw: st.DrawFn) -> tuple[dict[str, Any], bool]:
    """Return what the host hands to an entity, and whether something is wrong with it, as now and then."""
    trigger: dict[str, Any] = {
        "self": {"name": "counter", "key": draw(st.sampled_from(["Main", ""]))},
        "exists": draw(st.booleans()),
        "state": draw(st.sampled_from(_STATES)),
        "batch": draw(st.lists(_OPERATION, max_size=5)),
    }
    damage = draw(st.integers(0, 24))
    if damage == 24:
        trigger["further"] = 1
    elif damage == 23:
        del trigger[draw(st.sampled_from(sorted(trigger)))]
    elif damage == 22 and trigger["batch"]:
        operation = draw(st.sampled_from(trigger["batch"]))
        operation.pop(draw(st.sampled_from(sorted(operation))), None)
    return trigger, damage in {22, 23}
