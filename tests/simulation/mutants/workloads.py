"""Small workloads for mistakes that any would show, but few at the first seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulation.lives import Plan
from tests.simulation.programs import Start
from tests.simulation.workload import Program

if TYPE_CHECKING:
    from collections.abc import Callable

_CITIES = [f"Hello {city}!" for city in ("Tokyo", "Seattle", "London")]


def _move(name: str, source: str, target: str, amount: int) -> Start:
    return Start(name, [source, target, amount], amount, moves=(source, target, amount))


def _family(*devices: str) -> Start:
    expected = [[f"Hello {device}!", len(device) ** 2] for device in devices]
    return Start("provision", list(devices), expected, activities=2 * len(devices))


MONEY = {
    "i-0": _move("move_money", "x", "y", 5),
    "i-1": _move("move_money_once_more", "y", "x", 3),
    "i-2": _move("move_money_once_more", "x", "z", 2),
    "i-3": _move("move_money", "z", "x", 4),
}
"""Locks of several entities, also by orchestrations that fail."""

BOOKS = {
    "i-0": Start("keep_books", [8, ["a", "b"]], 8, entries=8),
    "i-1": Start("keep_books_at_once", [8, ["a", "b"]], 8, entries=8),
    "i-2": Start("keep_books_for_ever", [0, 6, ["a", "b"]], 6, entries=6, in_order=False),
}
"""Signals and calls of entities, also by generations."""

FAMILIES = {"i-0": _family("device-0", "device-1", "device-2"), "i-1": _family("a", "bb")}
"""Sub-orchestrations, with and without ids of their own."""

ACTIVITIES = {
    "i-0": Start("hello_sequence", None, _CITIES, activities=3),
    "i-1": Start("fan_out", 12, sum(number**2 for number in range(12)), activities=12),
    "i-2": Start("hello_sequence", None, _CITIES, activities=3),
}
"""Sequences and a fan-out."""

EVENTS = {
    f"i-{number}": Start("timer_race", [1_000, True], ["approved", 49], event_after=float(number), activities=1)
    for number in range(4)
}
"""Instances that wait for an event, early and late."""

GENERATIONS = {
    "i-0": Start("counter", 0, 3, activities=1),
    "i-1": Start("keep_books_for_ever", [0, 6, ["a"]], 6, entries=6, in_order=False),
    "i-2": Start("counter", 0, 3, activities=1),
}
"""Orchestrations that continue as new."""

TIMERS = {
    "i-0": Start("timer_race", [5, False], ["escalated", "Hello escalation!"], activities=1),
    "i-1": Start("timer_race", [1, False], ["escalated", "Hello escalation!"], activities=1),
    "i-2": _family("a", "bb"),
}
"""Timers."""


def _slow(instance_id: str, steps: int) -> Plan:
    statements = [("yield", ("activity", "slow", number)) for number in range(1, steps + 1)]
    return Plan(instance_id, program=Program(f"{instance_id}.1", statements))


SLOW = {instance_id: _slow(instance_id, 8) for instance_id in ("i-0", "i-1", "i-2")}
"""Sequences that go on for minutes, so that partitions leave a worker and come back to it meanwhile."""

CHAINS = {
    instance_id: Plan(instance_id, program=Program(f"{instance_id}.1", [("follow", 1, 10)]))
    for instance_id in ("i-0", "i-1", "i-2")
}
"""Activities that are given what the one before answered, which is another thing each time that it runs."""


def _programs(make: Callable[[str], Program], *, fate: str = "plain") -> dict[str, Plan]:
    return {each: Plan(each, program=make(each), fate=fate) for each in ("i-0", "i-1", "i-2")}


def _waiting(instance_id: str, generations: int = 1, times: int = 1) -> Program:
    event = f"ev-{instance_id}"
    statements: list[Any] = [("yield", ("event", event))]
    if times > 1:
        statements = [("repeat", times, statements)]
    return Program(f"{instance_id}.1", statements, generations, events={event: generations * times})


def _with_child(instance_id: str, child: list[Any], *, times: int = 1, generations: int = 1) -> Program:
    name = f"{instance_id}.2"
    asks: list[Any] = [("yield", ("activity", "ok", 3)), ("yield", ("child", name, None))]
    return Program(
        f"{instance_id}.1", [("repeat", times, asks)], children={name: Program(name, child, generations=generations)}
    )


def _choosing(instance_id: str) -> Program:
    event = f"ev-{instance_id}"
    won, late = [("yield", ("activity", "slow", 2))], [("yield", ("activity", "ok", 3))]
    choice = ("choose", ("event", event), 1, won, late)
    return Program(f"{instance_id}.1", [("repeat", 4, [choice])], events={event: 4})


TICKS = _programs(lambda instance_id: _waiting(instance_id, times=5))
"""Many events for one execution."""

TICKS_FOR_EVER = _programs(lambda instance_id: _waiting(instance_id, generations=5))
"""One event for each generation."""

ALIKE = {instance_id: Start("collect", 4, 4, ticks=4) for instance_id in ("i-0", "i-1", "i-2")}
"""Events that say the same."""

RESTARTS = _programs(
    lambda instance_id: Program(f"{instance_id}.1", [("yield", ("activity", "ok", 2))]), fate="restart"
)
"""Instances that are restarted."""

ONE_RESTART = {"i-0": RESTARTS["i-0"]}

GENERATIONS_OF_CHILDREN = _programs(
    lambda instance_id: _with_child(
        instance_id,
        [("signal", "k1", {"by": [instance_id, 4]}), ("yield", ("activity", "ok", 5))],
        generations=3,
    )
)
"""Children that continue as new and write something."""

QUICK_CHILDREN = _programs(lambda instance_id: _with_child(instance_id, [("yield", ("timer", 0))], times=4))
"""Children that answer at once."""

CHOICES = _programs(_choosing)
"""What is asked for depends on what comes first: a late decision asks for something else under the same id."""
