"""Which messages of a batch reach the code, before any code runs.

Messages arrive at least once and in no order, so a batch may hold second copies (dropped), answers whose question is
not stored yet (put back for a while), and mail for instances that have ended or never were (dropped).

Source: DurableTask.AzureStorage, LockNextTaskOrchestrationWorkItemAsync and DedupeExecutionStartedMessagesAsync.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from taskhub.core.activity import is_question_id, question_id
from taskhub.core.runtime_state import RuntimeState, answered_task, fingerprint
from taskhub.model.entities import is_entity
from taskhub.model.history import (
    EventRaised,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.model.ids import ExecutionId
    from taskhub.model.instance import InstanceState
    from taskhub.model.messages import Envelope

MAX_EARLY_READS = 5
"""An answer for an execution without history is put back this often; then its question never existed."""

MAX_START_READS = 10
"""A start without an Instances row is put back this often; then its client died before writing the row."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that was read from a control queue."""

    envelope: Envelope
    dequeue_count: int

    @property
    def event(self) -> HistoryEvent:
        """What it says."""
        return self.envelope.message.event

    @property
    def execution_id(self) -> ExecutionId | None:
        """Which execution it is for, ``None``: whichever is current."""
        return self.envelope.message.target.execution_id


# ---- may a start begin?


class StartVerdict(enum.Enum):
    """What to do with the start of an instance."""

    PROCESS = "process"
    DUPLICATE = "duplicate"
    """Another start won; delete the message."""
    TERMINATED = "terminated"
    """The instance was ended before it began; delete the message."""
    WAIT = "wait"
    """The row may not be written yet; come back later."""


def judge_start(
    started: ExecutionStarted, row: InstanceState | None, *, dequeue_count: int, taken_at: Utc
) -> StartVerdict:
    """Compare a client's start message with the Instances row, which the client writes after it.

    An instance without history whose row says that it was terminated has been so before its start, which was delayed or
    still on its way. (The reference does not look at the status: it starts such an instance all the same.)

    Args:
        started: the message's event.
        row: the instance's row.
        dequeue_count: how often the message was read.
        taken_at: when it was read this time.
    """
    if row is not None:
        if not row.execution_id or row.execution_id == started.instance.execution_id:
            is_terminated = row.execution_id and row.status is RuntimeStatus.Terminated
            return StartVerdict.TERMINATED if is_terminated else StartVerdict.PROCESS
        if (row.generation or 0) > (started.generation or 0):
            return StartVerdict.DUPLICATE  # a later start has taken its place
        if row.generation == started.generation and row.created is not None:
            is_older = row.status is RuntimeStatus.Pending and row.created.moment() < started.timestamp.moment()
            is_late = dequeue_count > 1 and taken_at.moment() > row.created.moment()
            if is_older or is_late:
                return StartVerdict.DUPLICATE
    return StartVerdict.DUPLICATE if dequeue_count >= MAX_START_READS else StartVerdict.WAIT


def is_overtaken(started: ExecutionStarted, history: Sequence[HistoryEvent]) -> bool:
    """Return whether a parent has asked for another child since it put the start of this one, for the same task.

    Its episode was not stored, and decided otherwise when it was run again. Should the first start come late, it must
    not take the place of the second one's child.

    Args:
        started: the start.
        history: of the execution that it would take the place of.
    """
    current = next((event for event in history if isinstance(event, ExecutionStarted)), None)
    if current is None or started.parent is None or started.parent != current.parent:
        return False
    return started.timestamp.moment() < current.timestamp.moment()


def is_of_later(row: InstanceState, history: Sequence[HistoryEvent]) -> bool:
    """Return whether a row that shows another execution than is stored shows one that has yet to begin.

    A client writes such a row, as Pending, beside its start. Any other is of an execution before: the one that is
    stored took its place, and whoever stored it did not come to write the row.

    Args:
        row: the instance's.
        history: what is stored of the instance.
    """
    begun = next((event.timestamp for event in history if isinstance(event, ExecutionStarted)), None)
    if row.status is RuntimeStatus.Pending or begun is None or row.created is None:
        return True
    return row.created.moment() >= begun.moment()


# ---- which messages of a batch reach the code?


@dataclass(frozen=True, slots=True)
class Run:
    """Run an episode with these events; the rest of the batch but ``early`` is used up by it."""

    accepted: tuple[HistoryEvent, ...]
    early: tuple[int, ...]
    """Indices of arrivals to put back for a while."""


@dataclass(frozen=True, slots=True)
class NothingNew:
    """Every message was seen before; delete them."""

    early: tuple[int, ...]
    refresh_row: bool
    """The worker that stored them may have died before it wrote the Instances row."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The last episode was stored in part: finish it, delete ``used_up`` and look at ``later`` again."""

    used_up: tuple[int, ...]
    later: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The execution has ended. See that its row says so, delete ``used_up`` and look at ``later`` again."""

    used_up: tuple[int, ...]
    later: tuple[int, ...]
    early: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such execution. Delete ``used_up`` and look at ``later`` again, without an execution id."""

    used_up: tuple[int, ...]
    later: tuple[int, ...]
    early: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TerminatedUnstarted:
    """The instance was terminated before it started: its row is all that can say so."""

    event: ExecutionTerminated
    early: tuple[int, ...]


Admission = Union[Run, NothingNew, Interrupted, Finished, Unknown, TerminatedUnstarted]  # noqa: UP007 (a runtime alias on 3.10)


def admit(state: RuntimeState, arrivals: Sequence[Arrival], *, execution_id: ExecutionId | None) -> Admission:
    """Decide about a batch.

    Args:
        state: what is stored of the execution.
        arrivals: the batch, in order.
        execution_id: the execution that the batch names, ``None`` when no message names one.
    """
    if state.started is not None and not state.is_whole and not state.is_terminal:
        seen = tuple(index for index, arrival in enumerate(arrivals) if state.has_seen(arrival.event))
        return Interrupted(seen, tuple(index for index in range(len(arrivals)) if index not in seen))
    # With a start in the batch an answer is none for an execution that never was: its question is asked again now.
    is_known = state.started is not None or _start_among(arrivals, range(len(arrivals))) is not None
    early = tuple(index for index, arrival in enumerate(arrivals) if _is_early(state, arrival, is_known))
    on_time = [index for index in range(len(arrivals)) if index not in set(early)]
    if not on_time:
        return NothingNew(early, refresh_row=False)
    start = state.started or _start_among(arrivals, on_time)
    if start is None:
        # What came beside mail for a dead execution may be for a living one.
        for index in on_time if execution_id is None else ():
            event = arrivals[index].event
            if isinstance(event, ExecutionTerminated):
                return TerminatedUnstarted(event, early)
        return Unknown(*_discard(arrivals, on_time, execution_id), early)
    if state.is_terminal:
        return Finished(*_discard(arrivals, on_time, execution_id), early)
    accepted = _accept(state, [arrivals[index] for index in on_time], start)
    if not accepted:
        return NothingNew(early, refresh_row=True)
    return Run(accepted, early)


def _is_early(state: RuntimeState, arrival: Arrival, is_known_execution: bool) -> bool:
    """Return whether an answer came before its question was stored: the sender puts first and stores second."""
    event = arrival.event
    task_id = answered_task(event)
    if task_id is not None:
        is_known = task_id in state.scheduled
    elif isinstance(event, EventRaised) and is_entity(arrival.envelope.sender.instance_id):
        is_known = event.name in state.requests
    else:
        return False
    is_of_another = state.started is not None and arrival.execution_id not in (None, state.execution_id)
    if is_known or state.is_terminal or is_of_another:
        return False
    return is_known_execution or arrival.dequeue_count <= MAX_EARLY_READS


def _start_among(arrivals: Sequence[Arrival], indices: Sequence[int]) -> ExecutionStarted | None:
    for index in indices:
        event = arrivals[index].event
        if isinstance(event, ExecutionStarted):
            return event
    return None


def _discard(
    arrivals: Sequence[Arrival], indices: Sequence[int], execution_id: ExecutionId | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split a batch that nobody wants: what names the dead execution goes, the rest may be for a living one."""
    if execution_id is None:
        return tuple(indices), ()
    # Also when what names the execution is put back as too early: whatever came beside it may be for a living one.
    named = tuple(index for index in indices if arrivals[index].execution_id is not None)
    return named, tuple(index for index in indices if arrivals[index].execution_id is None)


def _accept(state: RuntimeState, arrivals: Sequence[Arrival], start: ExecutionStarted) -> tuple[HistoryEvent, ...]:
    accepted: list[HistoryEvent] = [] if state.started else [start]
    answered: set[int] = set()
    received = set()
    replies: set[str] = set()
    for arrival in arrivals:
        event = arrival.event
        if isinstance(event, ExecutionStarted) or state.has_seen(event):
            continue
        if arrival.execution_id and arrival.execution_id != start.instance.execution_id:
            continue
        if _answers_another_question(state, arrival):
            continue
        task_id = answered_task(event)
        if task_id is not None:
            if task_id in answered:
                continue
            answered.add(task_id)
        if isinstance(event, EventRaised) and event.name in state.requests:
            # An entity that had to run a batch again answers again, and perhaps otherwise: the first one counts.
            if event.name in replies:
                continue
            replies.add(event.name)
        mark = fingerprint(event)
        if mark is not None:
            if mark in received:
                continue
            received.add(mark)
        accepted.append(event)
    return tuple(accepted)


def _answers_another_question(state: RuntimeState, arrival: Arrival) -> bool:
    """Return whether an answer is to something else that was asked for under the id of an open task.

    By an episode that put its messages, was not stored, and decided otherwise when it was run again. Answers of the
    reference do not all tell; those count, as they do there.
    """
    event = arrival.event
    task_id = answered_task(event)
    asked = None if task_id is None else state.asked.get(task_id)
    if task_id is None or asked is None:
        return False
    match event:
        case TimerFired(fire_at=fire_at):
            return fire_at.padded() != asked
        case TaskCompleted() | TaskFailed():
            told = arrival.envelope.activity_id
            return is_question_id(told) and told != question_id(state.execution_id, task_id, Utc(asked))
        case _:
            sender = arrival.envelope.sender.instance_id
            return bool(sender) and sender.lower() != asked
