"""``docs/reference/acceptance.md`` names tests that are there, for every point of the list."""

from pathlib import Path

import pytest

from tests.support.pages import NAMED_TEST, functions_of, table_rows

ROOT = Path(__file__).parents[3]
ROWS = [row for row in table_rows(ROOT / "docs/reference/acceptance.md") if row[0].isdigit()]
POINTS = 14


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_line_names_tests_and_nothing_else(row):
    _, _, shown = row
    named = NAMED_TEST.findall(shown)

    assert named
    assert NAMED_TEST.sub("", shown).strip(", ") == ""
    assert [(path, name) for path, name in named if name not in functions_of(ROOT / path)[0]] == []


def test_every_point_is_there_in_its_order():
    points = [int(row[0]) for row in ROWS]

    assert points == sorted(points)
    assert set(points) == set(range(1, POINTS + 1))


def test_no_part_is_named_twice():
    parts = [(row[0], row[1]) for row in ROWS]

    assert len(parts) == len(set(parts))
