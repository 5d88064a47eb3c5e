"""Orchestrations of the simulation, each with the result that it must have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random


def hello_sequence(context):
    outputs = []
    for city in ("Tokyo", "Seattle", "London"):
        output = yield context.call_activity("say_hello", city)
        outputs.append(output)
    return outputs


def fan_out(context):
    count = context.get_input()
    squares = yield context.task_all([context.call_activity("square", number) for number in range(count)])
    return sum(squares)


def timer_race(context):
    seconds, with_event = context.get_input()
    deadline = context.create_timer(context.current_utc_datetime + timedelta(seconds=seconds))
    approval = context.wait_for_external_event("approval")
    winner = yield context.task_any([approval, deadline])
    if winner is approval:
        deadline.cancel()
        result = yield context.call_activity("square", approval.result)
        return ["approved", result]
    assert not with_event, "the event was lost"
    result = yield context.call_activity("say_hello", "escalation")
    return ["escalated", result]


def provision(context):
    """A parent with a child for each device; the children have ids of their own or none."""
    devices = context.get_input()
    tasks = []
    for number, device in enumerate(devices):
        instance_id = f"{context.instance_id}-{device}" if number % 2 else None
        tasks.append(context.call_sub_orchestrator("provision_one", device, instance_id))
    results = yield context.task_all(tasks)
    return results


def provision_one(context):
    device = context.get_input()
    first = yield context.call_activity("say_hello", device)
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    second = yield context.call_activity("square", len(device))
    return [first, second]


def counter(context):
    """Continues as new three times, with an activity in each generation."""
    count = context.get_input()
    count = yield context.call_activity("add_one", count)
    if count < 3:
        context.continue_as_new(count)
        return None
    return count


def failing(context):
    try:
        yield context.call_activity("explode", "x")
    except Exception as error:
        return str(error).split("\n")[0].strip()


ORCHESTRATORS = {
    each.__name__: each for each in (hello_sequence, fan_out, timer_race, provision, provision_one, counter, failing)
}


def explode(value: Any) -> None:
    raise ValueError("boom")


ACTIVITIES = {
    "say_hello": lambda name: f"Hello {name}!",
    "square": lambda number: number * number,
    "add_one": lambda number: number + 1,
    "explode": explode,
}


@dataclass(frozen=True)
class Start:
    """One instance of the workload."""

    name: str
    input: Any
    expected: Any
    event_after: float | None = None
    """Seconds after the start at which ``approval`` is raised, with 7."""
    activities: int = 0
    """How many activities must have run, in it and its children."""


def draw_start(draw: random.Random) -> Start:
    """Draw an instance and what must come of it."""
    kind = draw.choice(["hello", "hello", "fan_out", "timer", "approval", "provision", "counter", "failing"])
    if kind == "hello":
        return Start(
            "hello_sequence", None, [f"Hello {city}!" for city in ("Tokyo", "Seattle", "London")], activities=3
        )
    if kind == "fan_out":
        count = draw.choice([1, 2, 10, 40, 120])
        return Start("fan_out", count, sum(n * n for n in range(count)), activities=count)
    if kind == "timer":
        return Start("timer_race", [draw.choice([0, 1, 5]), False], ["escalated", "Hello escalation!"], activities=1)
    if kind == "approval":
        return Start("timer_race", [1_000, True], ["approved", 49], event_after=draw.random() * 10, activities=1)
    if kind == "provision":
        devices = [f"device-{n}" for n in range(draw.randrange(1, 5))]
        return Start(
            "provision",
            devices,
            [[f"Hello {device}!", len(device) ** 2] for device in devices],
            activities=2 * len(devices),
        )
    if kind == "counter":
        return Start("counter", 0, 3, activities=1)
    return Start("failing", None, "Activity function 'explode' failed:  ValueError: boom", activities=1)
