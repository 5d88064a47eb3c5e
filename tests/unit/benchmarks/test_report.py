"""How figures are kept and shown."""

import json

import pytest

from benchmarks import report
from benchmarks.report import Report, spread


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_last_line_has_the_figures_and_what_they_are_about(capsys):
    shown = Report("What does it cost?")
    shown.add("one_s", 1.23456, "s", "<= 2")
    shown.add("not_here_s", None, "s")
    shown.add_spread("many_ms", [1, 2, 3, 4], "ms", {"p50": "<= 3"})
    shown.close()

    found = last_line(capsys)

    about = found.pop("about")
    assert found == {
        "one_s": 1.235,
        "not_here_s": None,
        "many_ms_p50": 2.5,
        "many_ms_p95": 3.85,
        "many_ms_p99": 3.97,
        "many_ms_max": 4,
    }
    assert about["units"].keys() == found.keys()
    assert about["goals"] == {"one_s": "<= 2", "many_ms_p50": "<= 3"}
    assert about["cores"] >= 1
    assert about["notes"] == []
    assert {"python", "sqlite", "azurite", "aiohttp"} <= about["versions"].keys()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5], (5, 5, 5, 5)), (list(range(101)), (50, 95, 99, 100)), ([3, 1, 2], (2, 2.9, 2.98, 3))],
)
def test_spread_has_percentiles_and_the_worst(values, expected):
    assert tuple(spread(values).values()) == pytest.approx(expected)


def test_notes_are_kept_in_the_last_line(capsys, monkeypatch):
    monkeypatch.setattr(report, "_notes", [])
    report.note("the emulator stood still")
    Report("What does it cost?").close()

    assert last_line(capsys)["about"]["notes"] == ["the emulator stood still"]
