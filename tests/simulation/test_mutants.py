"""The simulation finds every known mistake: one that it did not find would show a hole in workload or checks."""

import pytest

from tests.simulation.mutants.catalogue import BY_NAME, MUTANTS, UNSHOWN
from tests.simulation.mutants.hunt import hunt, known_seeds
from tests.simulation.page import PAGE, page_with_tables
from tests.simulation.simulate import KINDS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_simulation_finds(mutant):
    """At once at the seed where it was found last; else within as many seeds as are stated, from there on."""
    start = known_seeds().get(mutant.name, 0)

    found = hunt(mutant, range(start, start + mutant.seeds))

    assert found is not None, f"not found within {mutant.seeds} seeds from {start}: {mutant.breaks}"


def test_names_are_unique_and_each_mutant_says_what_it_breaks():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    assert all(mutant.breaks and mutant.hazard and mutant.edits for mutant in MUTANTS)
    assert set(known_seeds()) <= {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize("name", UNSHOWN)
def test_a_mistake_that_is_not_shown_can_still_be_made(name):
    with BY_NAME[name].applied():
        pass


def test_the_tables_of_the_page_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8")

    assert text == page_with_tables(text), "write it anew: scripts/simulate --mutants --refresh"


def test_the_page_tells_of_everything_that_befalls_runs():
    text = PAGE.read_text(encoding="utf-8")

    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
