"""One batch of an entity: from the messages that came to everything that must be stored and sent.

::

    begin_batch ── operations ──► user code ── answer ──► finish_batch ──► Checkpoint
         │                                                     ▲
         └── nothing to run ───────────────────────────────────┘

Messages go through the sorter into the queue; whoever holds the lock stands in front. Operations are taken from the
queue up to a limit, or up to a request for a lock, which is carried out after them. What could run but for that waits
in the queue for a message from the entity to itself, so that it is stored how far it came.

Each batch ends the entity's execution and begins a new one, whose input is what the entity remembers. So a checkpoint
holds three events, and replaces those of the batch before.

Source: Durable Task extension, ``TaskEntityShim``, ``SchedulerState``.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Union

from taskhub.core.entity_sorter import MessageSorter
from taskhub.model.entities import (
    LOCK_GRANTED,
    BatchAnswer,
    BatchFailure,
    Continue,
    EntityId,
    Release,
    Request,
    Response,
    SchedulerState,
    Stamp,
    Start,
)
from taskhub.model.history import OrchestrationInstance
from taskhub.model.ids import ExecutionId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.core.entity_memory import RequestMemory
    from taskhub.model.entities import Incoming
    from taskhub.model.ids import InstanceId, Utc

EARLY_SECONDS = 0.1
"""What comes this much before its time runs now."""

MAX_HIDDEN = timedelta(days=6)
"""A message for later hides no longer than this; who gets it then hides it again."""

MAX_SUSPENDED = timedelta(seconds=10)
"""An entity does not wait longer than this for its own message, which may have been lost."""

_SIGNALS = uuid.UUID("2f0c1f5e-8a2b-5d0e-9c53-5a8f1f8a1d07")
"""Name space of the ids of signals that entities send."""

_STARTS = uuid.UUID("7b3a4c0e-8f6d-5a56-b0b1-2d4f0f0c9e11")
"""Name space of the execution ids of orchestrations that entities start."""


@dataclass(frozen=True, slots=True)
class BatchRules:
    """Settings that batches depend on."""

    max_operations: int = 5000
    """Most operations of one batch."""
    reorder_window_seconds: float = 30 * 60


@dataclass(frozen=True, slots=True)
class Send:
    """A message that an entity sends."""

    target: OrchestrationInstance
    content: Union[Request, Response, Continue, Start]  # noqa: UP007 (evaluated on 3.10)
    name: str | None = None
    """Of the event that carries an answer: the id of its request."""
    hidden_until: Utc | None = None


@dataclass(slots=True)
class Batch:
    """A batch, begun."""

    entity: EntityId
    scheduler: SchedulerState
    """After the messages were taken in, but for the sorter's part; the queue without what this batch runs."""
    sorter: MessageSorter
    memory: RequestMemory
    rules: BatchRules
    operations: tuple[Request, ...] = ()
    """For user code."""
    lock: Request | None = None
    """To be carried out after them."""
    sends: tuple[Send, ...] = ()
    """Operations that came before their time."""
    is_cut: bool = False
    """The limit left operations in the queue."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a batch came to."""

    scheduler: SchedulerState
    sends: tuple[Send, ...]
    """In the order in which they are put."""


def begin_batch(
    entity: EntityId,
    scheduler: SchedulerState,
    incoming: Iterable[Incoming],
    memory: RequestMemory,
    *,
    now: Utc,
    began: Utc | None,
    rules: BatchRules,
) -> Batch:
    """Take in what came, and tell which operations to run.

    Args:
        entity: which one.
        scheduler: what it remembers.
        incoming: what came, in order.
        memory: ids that it knows; learns those of ``incoming``.
        now: the current time.
        began: when the current execution began, ``None`` for the first.
        rules: settings.
    """
    sorter = MessageSorter(scheduler.sorter, window_seconds=rules.reorder_window_seconds)
    taking = _Taking(entity, scheduler, sorter, memory, now)
    for each in incoming:
        taking.take(each)
    is_suspended = taking.is_suspended and not _is_over(began, now)
    batch = Batch(entity, scheduler, sorter, memory, rules, sends=tuple(taking.sends))
    queue = [*taking.in_front, *taking.queue]
    if not is_suspended:
        _fill(batch, queue, taking.locked_by, rules)
    batch.scheduler = replace(
        scheduler, queue=tuple(queue), locked_by=taking.locked_by, is_suspended=is_suspended or batch.is_cut
    )
    return batch


def _is_over(began: Utc | None, now: Utc) -> bool:
    return began is not None and now.moment() - began.moment() > MAX_SUSPENDED


class _Taking:
    """What becomes of the messages."""

    def __init__(
        self, entity: EntityId, scheduler: SchedulerState, sorter: MessageSorter, memory: RequestMemory, now: Utc
    ) -> None:
        self._entity = entity
        self._sorter = sorter
        self._memory = memory
        self._now = now
        self.queue = list(scheduler.queue)
        self.in_front: list[Request] = []
        """Of whoever holds the lock."""
        self.locked_by = scheduler.locked_by
        self.is_suspended = scheduler.is_suspended
        self.sends: list[Send] = []

    def take(self, incoming: Incoming) -> None:
        match incoming:
            case Request():
                self._request(incoming)
            case Release():
                self._release(incoming)
            case Continue():
                self.is_suspended = False

    def _request(self, request: Request) -> None:
        if request.due is None:
            for each in self._sorter.receive(request):
                self._deliver(each)
        elif _seconds_until(request.due, self._now) > EARLY_SECONDS:
            # It keeps its id, so it is not noted as taken.
            self.sends.append(
                Send(
                    OrchestrationInstance(self._entity.instance_id, None),
                    request,
                    hidden_until=hidden_until(request.due, self._now),
                )
            )
        else:
            self._deliver(request)

    def _deliver(self, request: Request) -> None:
        if self._memory.has_taken(request.id) or self._memory.has_released(request.id):
            return
        self._memory.take(request.id, self._now.moment())
        if self.locked_by is not None and request.parent == self.locked_by:
            self.in_front.append(request)
        else:
            self.queue.append(request)

    def _release(self, release: Release) -> None:
        if release.id and release.id != FIX_ORPHANED_LOCK:
            if self._memory.has_released(release.id):
                return
            self._memory.release(release.id, self._now.moment())
            # Its lock was granted before we died, is asked for anew, and waits in the queue.
            for waiting in (self.queue, self.in_front):
                waiting[:] = [each for each in waiting if each.lock_set is None or each.id != release.id]
        if release.parent == self.locked_by:
            self.locked_by = None


FIX_ORPHANED_LOCK = "fix-orphaned-lock"
"""Stands for the lock's id in releases that no holder sends."""


def hidden_until(due: Utc, now: Utc) -> Utc:
    """Return until when the message of something for later hides."""
    return min(due, now.plus(MAX_HIDDEN), key=lambda time: time.moment())


def _seconds_until(due: Utc, now: Utc) -> float:
    return (due.moment() - now.moment()).total_seconds()


def _fill(batch: Batch, queue: list[Request], locked_by: InstanceId | None, rules: BatchRules) -> None:
    """Move what is to run now from the queue into the batch."""
    taken: list[Request] = []
    for request in queue:
        if locked_by is not None and request.parent != locked_by:
            break
        if len(taken) >= rules.max_operations:
            batch.is_cut = True
            break
        if request.lock_set is not None:
            batch.lock = request
            break
        taken.append(request)
    batch.operations = tuple(taken)
    del queue[: len(taken) + (batch.lock is not None)]


def finish_batch(batch: Batch, outcome: BatchAnswer | BatchFailure | None, *, now: Utc) -> Finished:
    """Return what to remember and to send after user code ran.

    Args:
        batch: as it was begun.
        outcome: of user code, ``None`` when there was no operation to run.
        now: the current time.
    """
    scheduler = batch.scheduler
    sends = list(batch.sends)
    match outcome:
        case BatchAnswer():
            scheduler = replace(scheduler, exists=outcome.exists, state=outcome.state)
            sends += _answers(batch.operations, outcome.results)
            sends += _signals(batch, outcome, now)
            sends += _starts(batch, outcome, now)
        case BatchFailure(result=result):
            sends += _answers(batch.operations, [Response(result, is_error=True)] * len(batch.operations))
        case None if batch.operations:
            raise ValueError("a batch with operations has an outcome")
    goes_on = batch.is_cut
    if batch.lock is not None:
        scheduler = _locked(scheduler, batch.lock)
        sends.append(_next_lock(batch.lock))
        # After a crash an operation may have come before the request for its lock, which it then waited for.
        goes_on = bool(scheduler.queue) and scheduler.queue[0].parent == batch.lock.parent
    if goes_on:
        sends.append(Send(OrchestrationInstance(batch.entity.instance_id, None), Continue()))
    return Finished(replace(scheduler, sorter=batch.sorter.state()), tuple(sends))


def _answers(operations: Sequence[Request], results: Sequence[Response]) -> Iterable[Send]:
    for request, response in zip(operations, results, strict=True):
        if not request.is_signal and request.parent is not None:
            yield _answer(request, request.parent, response)


def _answer(request: Request, parent: InstanceId, response: Response) -> Send:
    return Send(OrchestrationInstance(parent, request.parent_execution), response, name=request.id)


def _signals(batch: Batch, answer: BatchAnswer, now: Utc) -> Iterable[Send]:
    sender = batch.entity.instance_id
    for index, signal in enumerate(answer.signals):
        target = signal.target.instance_id
        # The same id when the batch has to be run again because we died before storing it: the target knows it then.
        parts = [batch.operations[0].id, str(index), target, signal.operation, signal.input or ""]
        request = Request(
            id=str(uuid.uuid5(_SIGNALS, "\n".join(parts))),
            operation=signal.operation,
            is_signal=True,
            input=signal.input,
            parent=sender,
            extra=signal.extra,
            due=signal.due,
        )
        to = OrchestrationInstance(target, None)
        if signal.due is None:
            yield Send(to, batch.sorter.label(request, target, Stamp.of(now)))
        else:
            yield Send(to, request, hidden_until=hidden_until(signal.due, now))


def _starts(batch: Batch, answer: BatchAnswer, now: Utc) -> Iterable[Send]:
    for index, start in enumerate(answer.starts):
        # The same execution when the batch has to be run again, as for signals.
        parts = [batch.operations[0].id, str(index), start.instance_id, start.name]
        execution = ExecutionId(uuid.uuid5(_STARTS, "\n".join(parts)).hex)
        hidden = None if start.due is None else hidden_until(start.due, now)
        yield Send(OrchestrationInstance(start.instance_id, execution), start, hidden_until=hidden)


def _locked(scheduler: SchedulerState, lock: Request) -> SchedulerState:
    """Return the state of an entity that was locked: what its holder asked for stands in front."""
    queue = sorted(scheduler.queue, key=lambda request: request.parent != lock.parent)
    return replace(scheduler, locked_by=lock.parent, queue=tuple(queue))


def _next_lock(lock: Request) -> Send:
    """Hand a lock on to the next entity, or tell who asked for it that all are locked."""
    locked = replace(lock, position=lock.position + 1)
    if lock.lock_set is None or lock.parent is None:
        raise ValueError("a lock has a set and somebody who asked for it")
    if locked.position < len(lock.lock_set):
        return Send(OrchestrationInstance(lock.lock_set[locked.position].instance_id, None), locked)
    return _answer(lock, lock.parent, LOCK_GRANTED)
