"""Tests of three patterns in a simulated world: no host, no storage, no waiting. Run with `pytest function_app/tests`.

How it works: docs/howto/testing.md.
"""

from pathlib import Path

import pytest

DAY = 24 * 3600


@pytest.fixture
def world(durable_world):
    """A world with the sample app in it."""
    return durable_world.load(Path(__file__).parents[1])


# Time: three days pass at once.


def test_an_approval_that_nobody_gives_is_escalated_after_three_days(world):
    instance = world.start("approval", {"expense": "Train to Turin", "timeout_seconds": 3 * DAY})

    world.skip(days=2, hours=23)
    assert instance.custom_status == "waiting for approval"
    world.skip(hours=1)

    assert instance.completed == {"expense": "Train to Turin", "result": "escalated", "to": "manager"}


def test_an_approval_in_time_is_not_escalated(world):
    instance = world.start("approval", {"expense": "Train to Turin", "timeout_seconds": 3 * DAY})

    world.skip(days=2)
    instance.raise_event("Approval", {"approved": True, "by": "Ada"})

    assert instance.completed == {"expense": "Train to Turin", "result": "approved", "by": "Ada"}
    assert world.calls("escalate") == []


# Fakes: what the build server says is the test's.


def test_the_monitor_asks_until_the_build_is_done(world):
    world.fake("read_build", in_turn=["queued", "queued", "running", "succeeded"])

    instance = world.start("monitor", {"build": "nightly", "interval_seconds": 60, "give_up_after_seconds": 3600})
    world.skip(minutes=10)

    assert instance.completed == {"build": "nightly", "state": "succeeded", "checks": 4}
    assert [call.input["check"] for call in world.calls("read_build")] == [1, 2, 3, 4]


# Crashes: workers die and messages come twice, under many seeds.


@pytest.mark.durable(seeds=10)
def test_a_trip_that_cannot_be_booked_is_cancelled_whatever_happens(world):
    booked, cancelled = {"train"}, set()

    def book(order):
        if order["step"] == "car":
            raise RuntimeError("no car left")
        # Activities may run twice, the second time even when what they did was undone.
        if order["step"] not in cancelled:
            booked.add(order["step"])

    def cancel(order):
        cancelled.add(order["step"])
        booked.discard(order["step"])

    world.fake("book", book)
    world.fake("cancel", cancel)

    instance = world.start("compensation", {"city": "Lisbon"})

    assert instance.completed["cancelled"] == ["flight", "hotel"]
    assert booked == {"train"}
