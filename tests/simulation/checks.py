"""What must be true of a hub, while it runs and when all is done."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub.codec.entity_texts import decode_scheduler
from taskhub.codec.instance_rows import decode_instance
from taskhub.codec.keys import SENTINEL, unescape_instance_id
from taskhub.core.partitioning import partition_of
from taskhub.core.runtime_state import RuntimeState, answered_task
from taskhub.model.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
)
from taskhub.storage.port import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from taskhub.names import HubNames
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Row, TableWrite
    from tests.simulation.programs import Start
    from tests.support.hub_state import HubState


class Violation(AssertionError):
    """Something that must never be was seen."""


class Watch:
    """Looks at every write to the History table as it is made."""

    def __init__(self, history_table: str) -> None:
        self._table = history_table
        self._rows: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._purged: dict[tuple[str, str], tuple[Any, ...]] = {}
        """What purges deleted: a commit whose reply was lost may store the very same once more."""
        self.ends: Counter[tuple[str, str]] = Counter()
        """How often each execution was ended, by partition key and execution id."""

    def __call__(self, call: Call) -> None:
        """Take a call to the store into account that succeeded."""
        if call.method != "batch" or call.target != self._table:
            return
        operations: Sequence[TableWrite] = call.arguments[0]
        kinds = {operation.kind for operation in operations}
        if kinds == {Write.DELETE}:  # a purge
            for operation in operations:
                key = (operation.row.partition_key, operation.row.row_key)
                if key in self._rows:
                    self._purged[key] = self._rows.pop(key)
            return
        if kinds == {Write.MERGE} and all("Reason" in operation.row.columns for operation in operations):
            for operation in operations:
                self._rewound(operation.row)
            return
        if operations[-1].row.row_key != SENTINEL:
            raise Violation("a history batch without its sentinel")
        if len(operations) > 100:
            raise Violation("a history batch of more than 100 operations")
        current = operations[-1].row.columns["ExecutionId"]
        for operation in operations[:-1]:
            if operation.kind is Write.DELETE:
                self._cleared(operation.row, current)
            else:
                self._event(operation.row)

    def _cleared(self, row: Row, current: object) -> None:
        execution_id, event_type, _ = self._rows.pop((row.partition_key, row.row_key))
        if execution_id == current:
            raise Violation(f"{event_type} of the current execution of {row.partition_key} was deleted")

    def _rewound(self, row: Row) -> None:
        key = (row.partition_key, row.row_key)
        execution_id, event_type, timestamp = self._rows[key]
        if event_type == "ExecutionCompleted":
            self.ends[row.partition_key, execution_id] -= 1
        self._rows[key] = (execution_id, row.columns.get("EventType", event_type), timestamp)

    def _event(self, row: Row) -> None:
        execution_id = str(row.columns["ExecutionId"])
        key = (row.partition_key, row.row_key)
        content = (execution_id, row.columns["EventType"], row.columns["_Timestamp"])
        before = self._rows.get(key)
        if before is not None and before[0] == execution_id and before != content:
            raise Violation(f"history of {key} was rewritten: {before} became {content}")
        self._rows[key] = content
        if row.columns["EventType"] == "ExecutionCompleted" and content not in (before, self._purged.get(key)):
            self.ends[row.partition_key, execution_id] += 1
            if self.ends[row.partition_key, execution_id] > 1:
                raise Violation(f"{row.partition_key} was completed twice")


class LeaseWatch:
    """Looks at what workers do with partitions, and at the leases in the Partitions table.

    Nobody may store histories of a partition, or delete from its control queue, when its lease is somebody else's. A
    call may be under way when that changes, and a worker that was paused between its look at the lease and its call
    cannot know: what happens that soon is left to ETags and receipts.

    Args:
        names: of the hub.
        now: the store's clock.
        partition_count: of the hub.
    """

    GRACE = timedelta(seconds=10)
    """For calls under way and for clocks that differ."""

    def __init__(self, names: HubNames, now: Callable[[], datetime], partition_count: int) -> None:
        self._names = names
        self._now = now
        self._partition_count = partition_count
        self._workers: dict[str, str] = {}
        self._owners: dict[str, tuple[str | None, datetime]] = {}
        """Who has each queue, since when."""
        self._resumed: dict[str, datetime] = {}

    def know(self, process: str, worker_id: str) -> None:
        """Take note of which worker runs in a process."""
        self._workers[process] = worker_id

    def resumed(self, process: str) -> None:
        """Take note of the end of a pause."""
        self._resumed[process] = self._now()

    def see(self, process: str, call: Call) -> None:
        """Take a call to the store into account that succeeded."""
        if call.target == self._names.partitions_table and call.method in ("write", "batch"):
            (given,) = call.arguments
            for operation in [given] if call.method == "write" else given:
                if not operation.row.columns:
                    continue  # a fault, which changes nothing but the ETag
                self._own(operation.row.row_key, str(operation.row.columns.get("CurrentOwner") or "") or None)
            return
        if process not in self._workers:
            return
        if call.target == self._names.history_table and call.method == "batch":
            instance_id = unescape_instance_id(call.arguments[0][0].row.partition_key)
            self._act(process, self._names.control_queue(partition_of(instance_id, self._partition_count)), call)
        elif call.method == "delete" and call.target in self._owners:
            self._act(process, call.target, call)

    def _own(self, queue: str, owner: str | None) -> None:
        if self._owners.get(queue, (None, None))[0] != owner:
            self._owners[queue] = (owner, self._now())

    def _act(self, process: str, queue: str, call: Call) -> None:
        owner, since = self._owners.get(queue, (None, None))
        worker = self._workers[process]
        if owner in (None, worker) or since is None:
            return
        since = max(since, self._resumed.get(process, since))
        if self._now() - since > self.GRACE:
            raise Violation(
                f"{worker} acts on {queue} ({call.service} {call.method}), which is {owner}'s since {since}"
            )


def entries_of(hub: HubState) -> Counter[tuple[str, str, int]]:
    """Return how often each entry is in the counters: by key, label and number."""
    return Counter((key, label, number) for key, entries in _counters(hub).items() for label, number in entries)


def check_order(hub: HubState, label: str, numbers: Sequence[int]) -> None:
    """Check that entries which one execution wrote one after the other are in each counter in this order."""
    wanted = set(numbers)
    for key, entries in _counters(hub).items():
        found = [number for writer, number in entries if writer == label and number in wanted]
        if found != sorted(found):
            raise Violation(f"{key} has the entries of {label} in the order {found}")


def _counters(hub: HubState) -> dict[str, list[tuple[str, int]]]:
    rows = [row for row in hub.instances if row.partition_key.startswith("@counter@")]
    return {row.partition_key.rpartition("@")[2]: _state_at_rest(row) or [] for row in rows}


def check_nothing_is_left(hub: HubState) -> None:
    """Check that nothing is stored of instances when all of them were purged."""
    for what, left in (
        ("messages", [queue for queue, count in hub.messages.items() if count]),
        ("history rows", [(row.partition_key, row.row_key) for row in hub.history]),
        ("instances", [row.partition_key for row in hub.instances]),
        ("blobs", list(hub.blobs)),
    ):
        if left:
            raise Violation(f"{what} are left when everything was purged: {left}")


def check_at_rest(
    hub: HubState, *, never_begun: Collection[str] = (), ids_jump: bool = False
) -> dict[str, list[HistoryEvent]]:
    """Check everything that is stored when all is done; return the histories by partition key.

    Args:
        hub: what is stored.
        never_begun: partition keys of instances that have ended before they began, so that only a row tells of them.
        ids_jump: whether code gives the ids, and may leave some out.
    """
    left = {queue: count for queue, count in hub.messages.items() if count}
    if left:
        raise Violation(f"messages are left: {left}")
    histories = {}
    for partition_key in {row.partition_key for row in hub.history}:
        if hub.sentinel(partition_key).columns["IsCheckpointComplete"] is not True:
            raise Violation(f"the last checkpoint of {partition_key} is incomplete")
        histories[partition_key] = hub.events(partition_key)
        check_history(partition_key, histories[partition_key], ids_jump=ids_jump)
    begun = [row for row in hub.instances if row.partition_key not in never_begun]
    for row in begun:
        state = decode_instance(row.partition_key, row.columns)
        history = RuntimeState.of(histories[row.partition_key])
        if state.status is not history.status or state.execution_id != history.execution_id:
            raise Violation(f"row of {row.partition_key} says {state}, its history {history}")
    odd = sorted(set(histories) ^ {row.partition_key for row in begun})
    if odd:
        raise Violation(f"instances without a row, or rows without a history: {odd}")
    return histories


def check_entities(hub: HubState, workload: Mapping[str, Start]) -> None:
    """Check that entities are at rest and open, and that every operation was applied exactly once.

    Ledgers hold each entry of each writer, in order where that is promised. Accounts hold what was moved, which is
    right only if nobody came in between those who had locked them.
    """
    states = {row.partition_key: _state_at_rest(row) for row in hub.instances if row.partition_key.startswith("@")}
    check_ledgers({key: state or [] for key, state in states.items() if key.startswith("@ledger@")}, workload)
    balances = {key: state for key, state in states.items() if key.startswith("@account@")}
    expected = Counter(dict.fromkeys(balances, 100))
    for start in workload.values():
        if start.moves is not None:
            source, target, amount = start.moves
            expected[f"@account@{source}"] -= amount
            expected[f"@account@{target}"] += amount
    if balances != expected:
        raise Violation(f"accounts hold {balances}, not {dict(expected)}")


def _state_at_rest(row: Row) -> Any:
    scheduler = decode_scheduler(decode_instance(row.partition_key, row.columns).input)
    if scheduler.queue or scheduler.locked_by or scheduler.is_suspended:
        raise Violation(f"{row.partition_key} is not at rest: {scheduler}")
    if any(source.buffered for source in scheduler.sorter.received.values()):
        raise Violation(f"messages wait in the sorter of {row.partition_key}: {scheduler.sorter}")
    return json.loads(scheduler.state or "null")


def check_ledgers(ledgers: Mapping[str, Sequence[tuple[str, int]]], workload: Mapping[str, Start]) -> None:
    """Check that every entry is in a ledger exactly once, in order where that is promised."""
    entries: dict[str, list[int]] = {}
    for key, ledger in ledgers.items():
        for sender, numbers in by_sender(ledger).items():
            if workload[sender].in_order and numbers != sorted(numbers):
                raise Violation(f"{key} has the entries of {sender} in the order {numbers}")
            entries.setdefault(sender, []).extend(numbers)
    for instance_id, start in workload.items():
        found = sorted(entries.pop(instance_id, []))
        if found != list(range(start.entries)):
            raise Violation(f"{instance_id} {start} wrote {found}")
    if entries:
        raise Violation(f"entries of nobody: {entries}")


def by_sender(entries: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the numbers of each sender in the order of a ledger."""
    numbers: dict[str, list[int]] = {}
    for sender, number in entries:
        numbers.setdefault(sender, []).append(number)
    return numbers


def check_history(partition_key: str, events: Sequence[HistoryEvent], *, ids_jump: bool = False) -> None:
    """Check that a history is one that the reference could have written.

    Args:
        partition_key: whose it is.
        events: all of it.
        ids_jump: whether code gives the ids, and may leave some out.
    """
    if not isinstance(events[0], OrchestratorStarted) or not isinstance(events[1], ExecutionStarted):
        raise Violation(f"history of {partition_key} begins with {events[:2]}")
    if not isinstance(events[-1], OrchestratorCompleted):
        raise Violation(f"history of {partition_key} ends with {events[-1]}")
    state = RuntimeState()
    answered: set[int] = set()
    next_id = 0
    for index, event in enumerate(events):
        if isinstance(event, ExecutionStarted) and index != 1:
            raise Violation(f"{partition_key} started twice")
        if isinstance(event, EventRaised) and event.name in state.answered:
            raise Violation(f"{partition_key}: request {event.name} was answered twice")
        task_id = answered_task(event)
        if task_id is not None:
            if task_id not in state.scheduled:
                raise Violation(f"{partition_key}: {event} answers nothing")
            if task_id in answered:
                raise Violation(f"{partition_key}: task {task_id} was answered twice")
            answered.add(task_id)
        if event.event_id >= 0 and not isinstance(event, ExecutionCompleted):
            # What a rewind took back keeps its id, and is asked anew under the same one.
            is_next = event.event_id >= next_id if ids_jump else event.event_id == next_id
            if not is_next and event.event_id not in state.rewound:
                raise Violation(f"{partition_key}: task ids jump to {event.event_id}")
            next_id = max(next_id, event.event_id + 1)
        state.apply(event)
