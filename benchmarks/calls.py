"""How many storage transactions does a task hub make, and which?

Each scenario is one instance, started by a client in another process than the worker, on a hub that is up and idle;
counted until it has ended and all its messages are deleted. Time is virtual, so the numbers are exact and every run
has the same: nothing but the program decides. One table transaction counts as one, like on the bill.

Client and worker are counted apart, and so are reads of queues that found nothing and what the leases cost. The idle
minute has everything in it, for each way in which hubs keep leases. ``classic`` does as DurableTask.AzureStorage,
which loads the history for each episode and stores nothing ahead of what it sends; ``warm`` keeps instances in
memory between episodes; ``fast`` takes all shortcuts (docs/design/shortcuts.md), in a worker that has a slot for each
activity.

Usage: ``python -m benchmarks.calls [--kinds]``. The last line is one JSON object of named figures, with those of each
kind of transaction, which ``--kinds`` also shows above.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from benchmarks.report import Report
from taskhub import TaskHubClient
from taskhub.model.ids import InstanceId
from taskhub.model.leases import PartitionManager
from taskhub.settings import CLASSIC
from taskhub.storage.counting import CallCounter
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub

if TYPE_CHECKING:
    from collections.abc import Mapping

PARTITIONS = 4
SETTLE_SECONDS = 307.0
"""After which polling has backed off as far as it does; not at a moment at which something happens."""

LEASES = ("table.query Partitions", "table.batch Partitions", "table.put Partitions", "blob.put.lease")
EMPTY = "queue.get empty"


# ---- the programs


def hello(context: Any) -> Any:
    """Call three activities, one after the other."""
    results = []
    for city in ("Tokyo", "Seattle", "London"):
        results.append((yield context.call_activity("say", city)))  # noqa: PERF401 (no yield in comprehensions)
    return results


def fan_out(context: Any) -> Any:
    """Call N activities at once."""
    return (yield context.task_all([context.call_activity("say", n) for n in range(context.get_input())]))


def timer(context: Any) -> Any:
    """Wait two seconds."""
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=2))


def event(context: Any) -> Any:
    """Wait for an event."""
    return (yield context.wait_for_external_event("go"))


def parent(context: Any) -> Any:
    """Call a child that calls one activity."""
    return (yield context.call_sub_orchestrator("child", "x", "sub:child"))


def child(context: Any) -> Any:
    """Call one activity."""
    return (yield context.call_activity("say", context.get_input()))


def entity_call(context: Any) -> Any:
    """Call an entity that nobody used before."""
    return (yield context.call_entity(df.EntityId("counter", "a"), "add", 1))


def counter(context: Any) -> None:
    """Add to a number."""
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())


ORCHESTRATORS = {
    "hello": hello,
    "fan_out": fan_out,
    "timer": timer,
    "event": event,
    "parent": parent,
    "child": child,
    "entity_call": entity_call,
}
ACTIVITIES = {"say": lambda value: value}
ENTITIES = {"counter": counter}


MODES: Mapping[str, Mapping[str, Any]] = {
    "classic": CLASSIC,
    "warm": {**CLASSIC, "warm_sessions": True, "commit_before_messages": True},
    "fast": {"max_concurrent_activities": 100},
}
"""Settings of the hub."""

# ---- counting


@dataclass(frozen=True)
class Scenario:
    """One instance to count."""

    name: str
    orchestrator: str
    given: Any = None
    raises_event: bool = False


SCENARIOS = (
    Scenario("hello", "hello"),
    Scenario("fan_out_10", "fan_out", 10),
    Scenario("fan_out_100", "fan_out", 100),
    Scenario("timer", "timer"),
    Scenario("event", "event", raises_event=True),
    Scenario("sub_orchestration", "parent"),
    Scenario("entity_call", "entity_call"),
)


@dataclass(frozen=True)
class Calls:
    """What an instance cost, by kind of transaction."""

    client: Mapping[str, int]
    worker: Mapping[str, int]
    """Without empty reads and leases."""
    empty_reads: int

    @property
    def work(self) -> int:
        """Transactions of client and worker, without empty reads and leases."""
        return sum(self.client.values()) + sum(self.worker.values())


def count_instance(scenario: Scenario, mode: str) -> Calls:
    """Run a scenario and count."""
    app = PlainApplication(ORCHESTRATORS, ACTIVITIES, ENTITIES)
    hub = VirtualHub(app=app, partition_count=PARTITIONS, **MODES[mode])
    by_client, by_worker = CallCounter(), CallCounter()

    async def play(hub: VirtualHub) -> None:
        running = await hub.worker(wrap=by_worker.wrap)
        process = hub.process("counted client", wrap=by_client.wrap)
        client = TaskHubClient(process.storage, hub.settings, environment=process.environment, wake=running.worker.wake)
        await client.create_hub()
        await hub.sleep(SETTLE_SECONDS)
        by_client.counts.clear()
        by_worker.counts.clear()
        given = None if scenario.given is None else json.dumps(scenario.given)
        instance_id = await client.start(scenario.orchestrator, instance_id=InstanceId(scenario.name), input=given)
        if scenario.raises_event:
            await hub.sleep(1)
            await client.raise_event(instance_id, "go", "1")
        await hub.end(instance_id)
        await hub.sleep(0.5)

    hub.run(play)
    work = {kind: n for kind, n in by_worker.counts.items() if not kind.startswith((EMPTY, *LEASES))}
    return Calls(dict(by_client.counts), work, by_worker.matching(EMPTY))


def count_idle_minute(manager: PartitionManager, **settings: Any) -> Mapping[str, float]:
    """Count what a worker alone on a hub does in a minute without work, as the mean of ten."""
    hub = VirtualHub(partition_count=PARTITIONS, partition_manager=manager, **settings)
    counter = CallCounter()

    async def play(hub: VirtualHub) -> None:
        await hub.worker(wrap=counter.wrap)
        await hub.sleep(SETTLE_SECONDS)
        counter.counts.clear()
        await hub.sleep(600)

    hub.run(play)
    return {kind: n / 10 for kind, n in counter.counts.items()}


# ---- showing


REFERENCE = {
    "hello": (33, 3),
    "fan_out_10": (60, 3),
    "fan_out_100": (515, 3),
    "timer": (12, 3),
    "event": (11, 4),
    "sub_orchestration": (27, 3),
    "entity_call": (18, 3),
}
"""Transactions of the .NET worker, and of its client: storage.md, section 8, in the best case; recordings."""
FAST = {"hello": 19, "fan_out_100": 209}
"""Transactions of a worker that takes the shortcuts: storage.md, section 8.5."""
REFERENCE_IDLE_MINUTE = {PartitionManager.TABLE: 42.4, PartitionManager.SAFE: 222.4, PartitionManager.LEGACY: 90.4}


def main() -> None:
    """Count everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", action="store_true", help="show the transactions of each kind")
    kinds = parser.parse_args().kinds
    report = Report(__doc__ or "")
    for mode in MODES:
        for scenario in SCENARIOS:
            calls = count_instance(scenario, mode)
            worker, client = REFERENCE[scenario.name]
            if mode == "fast":
                worker = FAST.get(scenario.name, worker)
            name = f"{mode}_{scenario.name}"
            report.add(f"{name}_worker", sum(calls.worker.values()), "calls", f"<= {worker}")
            report.add(f"{name}_client", sum(calls.client.values()), "calls", f"<= {client}")
            report.add(f"{name}_empty_reads", calls.empty_reads, "calls")
            _add_kinds(report, name, Counter(calls.client) + Counter(calls.worker), shown=kinds)
    for manager, reference in REFERENCE_IDLE_MINUTE.items():
        idle = count_idle_minute(manager)
        name = f"idle_minute_{manager.value}"
        report.add(name, sum(idle.values()), "calls", f"<= {reference}")
        _add_kinds(report, name, idle, shown=kinds)
    report.close()


def _add_kinds(report: Report, name: str, counts: Mapping[str, float], *, shown: bool) -> None:
    for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        report.figures[f"{name} {kind}"] = count
        if shown:
            print(f"    {count:8g}  {kind}")


if __name__ == "__main__":
    main()
