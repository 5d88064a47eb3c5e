"""``docs/reference/conformance.md`` names tests that are there, each with the stores that it uses."""

import ast
from pathlib import Path

import pytest

from tests.support.pages import NAMED_TEST, functions_of, table_rows

ROOT = Path(__file__).parents[3]
STORES = {"memory", "SQLite", "Azurite"}
PURE = {"pure"}
BY_FIXTURE = {"any_storage": STORES, "azurite": {"Azurite"}, "store": {"SQLite", "Azurite"}}
ROWS = [row for row in table_rows(ROOT / "docs/reference/conformance.md") if row[0].isdigit()]


def stores_of(path, name):
    """Return the stores that a test uses, by its fixtures, its decorators or what it opens."""
    found, text = functions_of(ROOT / path)
    node = found[name]
    fixtures = {argument.arg for argument in node.args.args}
    used = set().union(*(BY_FIXTURE.get(fixture, set()) for fixture in fixtures))
    if any(isinstance(each, ast.Name) and each.id == "STORES" for each in node.decorator_list):
        used -= {"memory"}
    if "open_sqlite(" in (ast.get_source_segment(text, node) or ""):
        used |= {"SQLite"}
    if not used:
        used = {"memory"} if path.startswith("tests/simulation/") else PURE
    return used


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_a_line_names_a_test_and_the_stores_that_it_uses(row):
    path, name = NAMED_TEST.fullmatch(row[2]).groups()

    assert name in functions_of(ROOT / path)[0], f"{path} has no {name}"
    assert stores_of(path, name) == set(row[3].split(", "))


def test_every_number_is_shown_on_every_store_or_without_one():
    shown = {}
    for number, _, _, stores in ROWS:
        shown.setdefault(int(number), set()).update(stores.split(", "))

    assert sorted(shown) == list(range(1, 14))
    for number, stores in shown.items():
        assert stores >= STORES or stores >= PURE, f"{number} is shown on {stores} only"
