"""Ids and labels of entity requests; ``tests/conformance/sdk/test_live_shell.py`` holds them to recordings."""

from __future__ import annotations

from azure.durable_functions._replay.entities import RequestLabels
from azure.durable_functions._replay.history import Clock

NEVER = "0001-01-01T00:00:00"


def at(time: str) -> Clock:
    return Clock(f"2026-11-24T{time}Z")


def test_an_id_is_as_the_extension_makes_it() -> None:
    request = RequestLabels("caller-1", window_seconds=1800).label("@counter@B key/1", at("13:31:43.5403747"))

    assert request.id == "3e268867-055d-5471-a89f-8c77c1a5c9fa"  # golden/extension/entity_counter


def test_each_request_names_its_predecessor_to_the_same_entity() -> None:
    labels = RequestLabels("i-1", window_seconds=1800)

    first = labels.label("@counter@a", at("10:00:00.5"))
    other = labels.label("@counter@b", at("10:00:01"))
    second = labels.label("@Counter@A", at("10:00:02"))

    assert (first.timestamp, first.predecessor) == ("2026-11-24T10:00:00.5Z", NEVER)
    assert (other.timestamp, other.predecessor) == ("2026-11-24T10:00:01Z", NEVER)
    assert (second.timestamp, second.predecessor) == ("2026-11-24T10:00:02Z", "2026-11-24T10:00:00.5Z")


def test_requests_of_one_moment_are_told_apart_by_ticks_without_zone() -> None:
    labels = RequestLabels("i-1", window_seconds=1800)
    clock = at("10:00:00.9999999")

    stamps = [labels.label("@counter@a", clock) for _ in range(3)]

    assert [stamp.timestamp for stamp in stamps] == [
        "2026-11-24T10:00:00.9999999Z",
        "2026-11-24T10:00:01",
        "2026-11-24T10:00:01.0000001",
    ]
    assert [stamp.predecessor for stamp in stamps[1:]] == [stamp.timestamp for stamp in stamps[:2]]
    assert len({stamp.id for stamp in stamps}) == 3


def test_predecessors_beyond_the_window_are_forgotten() -> None:
    labels = RequestLabels("i-1", window_seconds=60)
    labels.label("@counter@a", at("10:00:00"))

    assert labels.label("@counter@a", at("10:01:00")).predecessor == "2026-11-24T10:00:00Z"
    assert labels.label("@counter@a", at("10:03:00")).predecessor == NEVER


def test_without_a_window_there_are_no_labels() -> None:
    labels = RequestLabels("i-1", window_seconds=0)
    labels.label("@counter@a", at("10:00:00"))
    request = labels.label("@counter@a", at("10:00:01"))

    assert (request.timestamp, request.predecessor) == (NEVER, NEVER)
