"""Hypothesis strategies that write programs (``programs.py``)."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

_HOUR = 3600


def _tasks(counter: itertools.count[int]) -> st.SearchStrategy[Any]:
    """Return tasks of any depth; names of retried calls are told apart by a number."""
    seconds = st.sampled_from([0, 1, 5, 60, 9 * _HOUR, 15 * _HOUR, 30 * _HOUR])
    leaf = st.one_of(
        st.tuples(st.just("activity"), st.sampled_from(["A", "B"]), st.sampled_from([None, 1, "é", {"k": [1]}])),
        st.builds(
            lambda s, n: ["retry", f"retried-{next(counter)}", s, n], st.sampled_from([1, 30]), st.integers(1, 3)
        ),
        st.tuples(st.just("child"), st.just("Child"), st.sampled_from([None, "child-1"])),
        st.builds(lambda s, n: ["child_retry", f"retried-{next(counter)}", s, n], st.just(2), st.integers(1, 2)),
        st.tuples(st.just("timer"), seconds),
        st.tuples(st.just("event"), st.sampled_from(["go", "Go", "stop"])),
        st.tuples(st.just("entity"), st.sampled_from(["k1", "k2"])),
        st.tuples(st.just("http"), st.just("x")),
        st.tuples(st.just("kept"), st.integers(0, 5)),
    )
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
