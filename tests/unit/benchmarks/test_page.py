"""The page of the benchmarks shows the newest run, and nothing that is typed by hand."""

import json
import re

import pytest

from benchmarks import page, plots, results
from benchmarks.page import Result, page_with_tables


def newest():
    return Result(json.loads(plots.newest().read_text(encoding="utf-8")))


def test_page_shows_the_newest_run():
    text = page.PAGE.read_text(encoding="utf-8")

    assert page_with_tables(text, newest()) == text


def test_every_plot_of_the_page_is_there():
    text = page.PAGE.read_text(encoding="utf-8")

    assert {path.name for path in plots.PLOTS.glob("*.svg")} == set(re.findall(r"\]\(benchmarks/(\w+\.svg)\)", text))


def test_page_without_a_place_for_a_table_is_refused():
    text = page.PAGE.read_text(encoding="utf-8").replace("<!-- end of scale -->", "")

    with pytest.raises(ValueError, match="no place for scale"):
        page_with_tables(text, newest())


def test_run_without_figures_gives_tables_without_figures():
    result = Result({**newest().document, "benchmarks": {}})

    text = page_with_tables(page.PAGE.read_text(encoding="utf-8"), result)

    assert "nan" not in text
    assert text.count("| figure |") >= 5


@pytest.mark.parametrize(
    ("value", "goal", "said"),
    [
        (4, "<= 4", "met"),
        (4.1, "<= 4", "**not met**"),
        (20, ">= 20", "met"),
        (19, ">= 20", "**not met**"),
        (7.9, "< 8", "met"),
        (8, "< 8", "**not met**"),
        (1499, "<= 1,500", "met"),
        (None, "<= 4", page.NONE),
    ],
)
def test_verdict_compares_with_the_goal(value, goal, said):
    assert page.verdict(value, goal) == said


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, page.NONE),
        (0, "0"),
        (0.00123, "0.00123"),
        (0.5, "0.5"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (2e-5, "0.00002"),
    ],
)
def test_figures_are_shown_with_three_digits(value, text):
    assert page.shown(value) == text


def test_newest_whole_run_goes_before_quick_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "RESULTS", tmp_path)
    for name, taken, quick in (
        ("a", "2026-12-01T05:00:00Z", False),
        ("b", "2026-12-01T06:00:00Z", False),
        ("c", "2026-12-02T05:00:00Z", True),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"taken": taken, "quick": quick}))

    assert plots.newest().name == "b.json"


def test_failed_benchmark_is_said_to_have_failed(monkeypatch):
    monkeypatch.setattr(results.Run, "command", lambda self, *, is_quick: ["-c", self.module])
    good = results.Run("good", 'print("words"); print(\'{"a": 1, "about": {"units": {"a": "s"}, "goals": {}}}\')')
    bad = results.Run("bad", 'print("last words"); raise SystemExit(3)')
    silent = results.Run("silent", 'print("no figures")')

    found = results.run_all([good, bad, silent], is_quick=True)

    assert found["good"]["figures"] == {"a": 1}
    assert "failed" not in found["good"]
    assert found["bad"]["failed"] == "it ended with 3, after: last words"
    assert found["silent"]["failed"] == "its last line is no JSON: no figures"


@pytest.mark.parametrize(("load", "is_noted"), [(0.1, False), (0.6, False), (0.7, True), (8.0, True)])
def test_load_of_the_machine_is_noted(load, is_noted):
    assert ("under load" in results._busy({"load": load, "cores": 2})) == is_noted
