"""What must be true of a hub, while it runs and when all is done."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from taskhub.codec.entity_texts import decode_scheduler
from taskhub.codec.instance_rows import decode_instance
from taskhub.codec.keys import SENTINEL
from taskhub.core.runtime_state import RuntimeState, answered_task
from taskhub.model.history import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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
        self.ends: Counter[tuple[str, str]] = Counter()
        """How often each execution was ended, by partition key and execution id."""

    def __call__(self, call: Call) -> None:
        """Take a call to the store into account that succeeded."""
        if call.method != "batch" or call.target != self._table:
            return
        operations: Sequence[TableWrite] = call.arguments[0]
        if operations[-1].row.row_key != SENTINEL:
            raise Violation("a history batch without its sentinel")
        if len(operations) > 100:
            raise Violation("a history batch of more than 100 operations")
        for operation in operations[:-1]:
            self._event(operation.row)

    def _event(self, row: Row) -> None:
        execution_id = str(row.columns["ExecutionId"])
        key = (row.partition_key, row.row_key)
        content = (execution_id, row.columns["EventType"], row.columns["_Timestamp"])
        before = self._rows.get(key)
        if before is not None and before[0] == execution_id and before != content:
            raise Violation(f"history of {key} was rewritten: {before} became {content}")
        self._rows[key] = content
        if row.columns["EventType"] == "ExecutionCompleted" and before != content:
            self.ends[row.partition_key, execution_id] += 1
            if self.ends[row.partition_key, execution_id] > 1:
                raise Violation(f"{row.partition_key} was completed twice")


def check_at_rest(hub: HubState, *, never_begun: Collection[str] = ()) -> dict[str, list[HistoryEvent]]:
    """Check everything that is stored when all is done; return the histories by partition key.

    Args:
        hub: what is stored.
        never_begun: partition keys of instances that have ended before they began, so that only a row tells of them.
    """
    left = {queue: count for queue, count in hub.messages.items() if count}
    if left:
        raise Violation(f"messages are left: {left}")
    histories = {}
    for partition_key in {row.partition_key for row in hub.history}:
        if hub.sentinel(partition_key).columns["IsCheckpointComplete"] is not True:
            raise Violation(f"the last checkpoint of {partition_key} is incomplete")
        histories[partition_key] = hub.events(partition_key)
        check_history(partition_key, histories[partition_key])
    begun = [row for row in hub.instances if row.partition_key not in never_begun]
    for row in begun:
        state = decode_instance(row.partition_key, row.columns)
        history = RuntimeState.of(histories[row.partition_key])
        if state.status is not history.status or state.execution_id != history.execution_id:
            raise Violation(f"row of {row.partition_key} says {state}, its history {history}")
    if set(histories) != {row.partition_key for row in begun}:
        raise Violation("instances without a row, or rows without a history")
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


def check_history(partition_key: str, events: Sequence[HistoryEvent]) -> None:
    """Check that a history is one that the reference could have written."""
    if not isinstance(events[0], OrchestratorStarted) or not isinstance(events[1], ExecutionStarted):
        raise Violation(f"history of {partition_key} begins with {events[:2]}")
    if not isinstance(events[-1], OrchestratorCompleted):
        raise Violation(f"history of {partition_key} ends with {events[-1]}")
    state = RuntimeState()
    answered: set[int] = set()
    for index, event in enumerate(events):
        if isinstance(event, ExecutionStarted) and index != 1:
            raise Violation(f"{partition_key} started twice")
        task_id = answered_task(event)
        if task_id is not None:
            if task_id not in state.scheduled:
                raise Violation(f"{partition_key}: {event} answers nothing")
            if task_id in answered:
                raise Violation(f"{partition_key}: task {task_id} was answered twice")
            answered.add(task_id)
        if event.event_id >= 0 and not isinstance(event, ExecutionCompleted) and event.event_id != state.next_task_id:
            raise Violation(f"{partition_key}: task ids jump to {event.event_id}")
        state.apply(event)
