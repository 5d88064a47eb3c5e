"""Orchestrations of the simulation, each with the result that it must have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

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


def keep_books(context):
    """Write entries 0, 1, 2 … into ledgers, by signals and calls; return how many a call found of its own."""
    count, keys = context.get_input()
    ledgers = [df.EntityId("ledger", key) for key in keys]
    for number in range(count):
        ledger = ledgers[number % len(ledgers)]
        if number % 3 == 2:
            yield context.call_entity(ledger, "write", [context.instance_id, number])
        else:
            context.signal_entity(ledger, "write", [context.instance_id, number])
        if number % 4 == 3:
            yield context.call_activity("add_one", number)
    found = 0
    for ledger in ledgers:
        found += yield context.call_entity(ledger, "count", context.instance_id)
    return found


def keep_books_at_once(context):
    """Write entries by calls that are all open at the same time."""
    count, keys = context.get_input()
    ledgers = [df.EntityId("ledger", key) for key in keys]
    calls = [
        context.call_entity(ledgers[number % len(ledgers)], "write", [context.instance_id, number])
        for number in range(count)
    ]
    yield context.task_all(calls)
    return count


def keep_books_for_ever(context):
    """Write one entry in each generation."""
    number, count, keys = context.get_input()
    context.signal_entity(df.EntityId("ledger", keys[number % len(keys)]), "write", [context.instance_id, number])
    if number % 2:
        yield context.call_activity("add_one", number)
    if number + 1 < count:
        context.continue_as_new([number + 1, count, keys])
        return None
    return count


def move_money(context):
    """Read and write two accounts while nobody else may."""
    source, target, amount = context.get_input()
    accounts = [df.EntityId("account", name) for name in (source, target)]
    with (yield context.lock_entities(accounts)):
        for account, change in zip(accounts, (-amount, amount), strict=True):
            balance = yield context.call_entity(account, "get")
            yield context.call_entity(account, "set", balance + change)
    return amount


def move_money_once_more(context):
    """Try it with a child that fails with the accounts locked, then do it."""
    source, target, amount = context.get_input()
    try:
        yield context.call_sub_orchestrator("lock_and_fail", [source, target])
    except Exception:
        moved = yield context.call_sub_orchestrator("move_money", [source, target, amount])
        return moved


def lock_and_fail(context):
    lock = yield context.lock_entities([df.EntityId("account", name) for name in context.get_input()])
    raise ValueError(f"no mood for {lock}")


def collect(context):
    """Wait for so many events that all say the same."""
    for _ in range(context.get_input()):
        yield context.wait_for_external_event("tick")
    return context.get_input()


ORCHESTRATORS = {
    each.__name__: each
    for each in (
        hello_sequence,
        fan_out,
        timer_race,
        provision,
        provision_one,
        counter,
        failing,
        keep_books,
        keep_books_at_once,
        keep_books_for_ever,
        move_money,
        move_money_once_more,
        lock_and_fail,
        collect,
    )
}


def ledger(context):
    """Keeps entries in the order in which they came."""
    entries = context.get_state(list)
    if context.operation_name == "write":
        entries.append(context.get_input())
        context.set_state(entries)
        context.set_result(len(entries))
    else:
        context.set_result(sum(sender == context.get_input() for sender, _ in entries))


def account(context):
    """Keeps a balance; whoever adds to it reads and writes."""
    if context.operation_name == "set":
        context.set_state(context.get_input())
    context.set_result(context.get_state(lambda: 100))


ENTITIES = {"ledger": ledger, "account": account}
LEDGERS = ("a", "b", "c")
ACCOUNTS = ("x", "y", "z")


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
    ticks: int = 0
    """How often ``tick`` is raised at least, always with 1."""
    activities: int = 0
    """How many activities must have run, in it and its children."""
    entries: int = 0
    """How many entries it writes into ledgers, numbered from 0."""
    moves: tuple[str, str, int] | None = None
    """From which account to which it moves how much."""
    in_order: bool = True
    """Whether each ledger must have them in order: entities promise it within an execution only."""


def draw_start(draw: random.Random) -> Start:
    """Draw an instance and what must come of it."""
    kinds = ["hello", "hello", "fan_out", "timer", "approval", "provision", "counter", "failing", "collect"]
    kinds += [*BOOKKEEPERS, "money"]
    kind = draw.choice(kinds)
    if kind in BOOKKEEPERS:
        return draw_bookkeeper(draw, kind)
    if kind == "money":
        return draw_move(draw)
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
    if kind == "collect":
        return draw_ticks(draw)
    return Start("failing", None, "Activity function 'explode' failed:  ValueError: boom", activities=1)


BOOKKEEPERS = ("keep_books", "keep_books_at_once", "keep_books_for_ever")


def draw_bookkeeper(draw: random.Random, kind: str | None = None) -> Start:
    """Draw an instance that writes into ledgers."""
    kind = kind or draw.choice(BOOKKEEPERS)
    count, keys = draw.randrange(1, 9), draw.sample(LEDGERS, draw.randrange(1, 4))
    given = [0, count, keys] if kind == "keep_books_for_ever" else [count, keys]
    return Start(kind, given, count, entries=count, in_order=kind != "keep_books_for_ever")


def draw_ticks(draw: random.Random) -> Start:
    """Draw an instance that waits for events that are alike."""
    count = draw.randrange(2, 5)
    return Start("collect", count, count, ticks=count)


def draw_move(draw: random.Random) -> Start:
    """Draw an instance that moves money between accounts."""
    source, target = draw.sample(ACCOUNTS, 2)
    amount = draw.randrange(1, 10)
    name = draw.choice(["move_money", "move_money", "move_money_once_more"])
    return Start(name, [source, target, amount], amount, moves=(source, target, amount))
