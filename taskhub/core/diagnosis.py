"""PURE: a picture of a hub → what is wrong with it.

The picture is no moment: a hub may be at work while it is read, so what looks lost may have moved. The caller looks
twice, and believes what both pictures show with the same ETags.

What must be true of a hub at rest: the row of an instance says what its history says. Whatever an instance has asked
for and not got is on its way: an activity's work item or answer, a timer's message, a child or its answer, a request to
an entity (:mod:`taskhub.core.lost_requests`). A start that has not been taken lies in its queue. Each blob is named
by a row or a message. An entity is locked by somebody who lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.core.lost_requests import lost_requests
from taskhub.core.partitioning import partition_of
from taskhub.core.runtime_state import answered_task
from taskhub.model.diagnosis import (
    AskAgain,
    DeleteBlob,
    Finding,
    OpenEntity,
    PutStart,
    PutTask,
    Severity,
    Wake,
    WriteRow,
)
from taskhub.model.entities import is_entity
from taskhub.model.history import ExecutionStarted, SubOrchestrationCreated, TaskScheduled, TimerCreated
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskhub.core.picture import ExecutionFacts, OpenTask, Picture, RowFacts
    from taskhub.model.ids import InstanceId

LONG_HISTORY_EVENTS = 10_000
"""A cold start of such an instance reads and replays for seconds."""
LARGE_BLOB_BYTES = 1024 * 1024
"""Compressed."""


def diagnose(picture: Picture) -> tuple[Finding, ...]:
    """Return what is wrong with a hub, by kind and then by subject."""
    if not picture.partitions:
        return ()
    return tuple(finding for rule in _RULES for finding in rule(picture))


# ---- the hub as a whole


def _partitions(picture: Picture) -> Iterator[Finding]:
    count = len(picture.partitions)
    if count != picture.partition_count:
        yield Finding(
            "partition-count",
            Severity.PROBLEM,
            "host.json",
            f"The hub has {count} partitions, the app is configured for {picture.partition_count}: messages go astray. "
            f"Set extensions.durableTask.storageProvider.partitionCount to {count}.",
        )
    for each in picture.partitions:
        if each.owner is not None and each.owner.startswith("?"):
            yield Finding(
                "lease-unreadable",
                Severity.PROBLEM,
                each.queue,
                f"Nobody can own this partition: its lease cannot be read {each.owner[2:]}.",
            )
        elif each.owner is not None and not each.is_held and (picture.is_at_work or each.messages):
            until = f" It ended at {each.expires_at}." if each.expires_at else ""
            yield Finding(
                "lease-not-renewed",
                Severity.NOTICE,
                each.queue,
                f"'{each.owner}' owns this partition and does not renew its lease.{until} Another worker takes over.",
            )
    if not picture.is_at_work and any(each.messages for each in picture.partitions):
        yield Finding(
            "no-worker", Severity.NOTICE, "workers", "Messages wait and no worker is at work. Start one: taskhub start"
        )


def _dead_letters(picture: Picture) -> Iterator[Finding]:
    if picture.dead_letters:
        yield Finding(
            "dead-letters",
            Severity.PROBLEM,
            "dead letters",
            f"{picture.dead_letters} messages were parked because nobody could work on them. See: taskhub dead list",
        )


# ---- instances


def _rows(picture: Picture) -> Iterator[Finding]:
    for instance_id in sorted({*picture.rows, *picture.executions}):
        row, execution = picture.rows.get(instance_id), picture.executions.get(instance_id)
        trouble = (row and row.trouble) or (execution and execution.trouble)
        if trouble:
            yield Finding(
                "unreadable", Severity.PROBLEM, instance_id, f"What is stored of it cannot be read: {trouble}"
            )
        elif execution is not None:
            yield from _row_of_history(picture, instance_id, row, execution)
        elif row is not None:
            yield from _row_alone(picture, instance_id, row)


def _row_of_history(
    picture: Picture, instance_id: InstanceId, row: RowFacts | None, execution: ExecutionFacts
) -> Iterator[Finding]:
    if row is not None and row.status is RuntimeStatus.Pending and row.execution_id != execution.execution_id:
        yield from _row_alone(picture, instance_id, row)  # started anew
        return
    status = execution.status.name
    if row is None:
        text = f"It has a history ({status}) but no row, so no list shows it."
    elif row.execution_id != execution.execution_id:
        text = f"Its row shows an earlier execution than its history, which is {status}."
    elif row.status is not execution.status and not is_entity(instance_id):
        shown = row.status.name if row.status else "unknown"
        text = f"Its row says {shown}, its history says {status}."
    else:
        return
    if picture.waiting.get(instance_id):
        text = f"{text} Messages wait for it; the worker that takes them puts that right."
        yield Finding("row-disagrees", Severity.NOTICE, instance_id, text)
    else:
        remedy = WriteRow(instance_id, row.etag if row else None)
        yield Finding("row-disagrees", Severity.PROBLEM, instance_id, text, remedy)


def _row_alone(picture: Picture, instance_id: InstanceId, row: RowFacts) -> Iterator[Finding]:
    """Look at a row without a history: of an instance that has not begun, or was terminated before it did."""
    if row.status is None or row.status.is_terminal or is_entity(instance_id):
        return
    if row.status is not RuntimeStatus.Pending:
        yield Finding(
            "history-missing",
            Severity.PROBLEM,
            instance_id,
            f"Its row says {row.status.name}, but it has no history: nothing goes on. Start it anew under another id "
            "(taskhub instances restart), or purge it with --force.",
        )
        return
    has_start = any(isinstance(each.event, ExecutionStarted) for each in picture.waiting.get(instance_id, ()))
    queue = picture.queue_of(instance_id)
    is_hidden = picture.is_ahead(row.scheduled_start) and picture.hidden.get(queue, 0) > 0
    if not has_start and not is_hidden and picture.sees(queue):
        yield Finding(
            "lost-start",
            Severity.PROBLEM,
            instance_id,
            f"It is Pending, but its start message is not in {queue}: it never begins.",
            PutStart(instance_id, row.etag) if row.name else None,
        )


def _episodes(picture: Picture) -> Iterator[Finding]:
    for instance_id, execution in picture.executions.items():
        if execution.is_whole or execution.trouble or execution.status.is_terminal:
            continue
        text = "Its last episode was stored in part: the worker died in between."
        if picture.waiting.get(instance_id):
            text = f"{text} Messages wait for it; the worker that takes them finishes the episode."
            yield Finding("incomplete", Severity.NOTICE, instance_id, text)
        elif picture.sees(picture.queue_of(instance_id)):
            yield Finding(
                "incomplete",
                Severity.PROBLEM,
                instance_id,
                f"{text} No message is left that would let a worker finish it.",
                Wake(instance_id, execution.etag),
            )


def _open_tasks(picture: Picture) -> Iterator[Finding]:
    for instance_id, execution in picture.executions.items():
        # An episode that was stored in part has perhaps not put its messages; it is run again.
        if not execution.is_whole or is_entity(instance_id):
            continue
        waiting = picture.waiting.get(instance_id, ())
        for task in execution.open_tasks:
            if any(answered_task(each.event) == task.task_id for each in waiting):
                continue
            match task.event:
                case TaskScheduled():
                    found = _lost_activity(picture, instance_id, execution, task, task.event)
                case TimerCreated():
                    found = _lost_timer(picture, instance_id, execution, task, task.event)
                case SubOrchestrationCreated():
                    found = _lost_child(picture, instance_id, execution, task, task.event)
            if found is not None:
                yield found


def _lost_activity(
    picture: Picture, instance_id: InstanceId, execution: ExecutionFacts, task: OpenTask, event: TaskScheduled
) -> Finding | None:
    waiting = picture.waiting.get(instance_id, ())
    if any(isinstance(each.event, TaskScheduled) and each.event.event_id == task.task_id for each in waiting):
        return None
    if not picture.sees(picture.work_items) or not picture.sees(picture.queue_of(instance_id)):
        return None
    return Finding(
        "lost-activity",
        Severity.PROBLEM,
        instance_id,
        f"It waits for activity '{event.name}' (task {task.task_id}, asked for at {event.timestamp}), but neither the "
        "work item nor an answer is in a queue.",
        AskAgain(instance_id, task.task_id, f"activity '{event.name}'", execution.etag),
    )


def _lost_timer(
    picture: Picture, instance_id: InstanceId, execution: ExecutionFacts, task: OpenTask, event: TimerCreated
) -> Finding | None:
    queue = picture.queue_of(instance_id)
    is_hidden = picture.is_ahead(event.fire_at) and picture.hidden.get(queue, 0) > 0
    if is_hidden or not picture.sees(queue):
        return None
    return Finding(
        "lost-timer",
        Severity.PROBLEM,
        instance_id,
        f"It has a timer for {event.fire_at} (task {task.task_id}), but the timer's message is not in {queue}.",
        PutTask(instance_id, task.task_id, "the timer's message", execution.etag),
    )


def _lost_child(
    picture: Picture, instance_id: InstanceId, execution: ExecutionFacts, task: OpenTask, event: SubOrchestrationCreated
) -> Finding | None:
    child = event.instance_id
    begun = picture.executions.get(child)
    has_start = any(isinstance(each.event, ExecutionStarted) for each in picture.waiting.get(child, ()))
    if has_start or (begun is not None and not begun.status.is_terminal):
        return None
    if not picture.sees(picture.queue_of(child)) or not picture.sees(picture.queue_of(instance_id)):
        return None
    if begun is None:
        return Finding(
            "lost-child",
            Severity.PROBLEM,
            instance_id,
            f"It waits for sub-orchestration '{child}' (task {task.task_id}), which has not begun, and whose start "
            "is in no queue.",
            AskAgain(instance_id, task.task_id, f"sub-orchestration '{child}'", execution.etag),
        )
    return Finding(
        "lost-answer",
        Severity.PROBLEM,
        instance_id,
        f"It waits for sub-orchestration '{child}' (task {task.task_id}), which has ended ({begun.status.name}), but "
        "its answer is in no queue.",
        PutTask(instance_id, task.task_id, f"the answer of '{child}'", execution.etag),
    )


def _entities(picture: Picture) -> Iterator[Finding]:
    for instance_id, row in picture.rows.items():
        if row.locked_by is None:
            continue
        holder = picture.rows.get(row.locked_by)
        if holder is not None and (holder.status is None or not holder.status.is_terminal):
            continue
        became = "does not exist" if holder is None or holder.status is None else f"is {holder.status.name}"
        yield Finding(
            "orphaned-lock",
            Severity.PROBLEM,
            instance_id,
            f"The entity is locked by '{row.locked_by}', which {became}: it does nothing for anybody else.",
            OpenEntity(instance_id, row.locked_by),
        )


def _sizes(picture: Picture) -> Iterator[Finding]:
    for instance_id, execution in picture.executions.items():
        if execution.events > LONG_HISTORY_EVENTS:
            yield Finding(
                "long-history",
                Severity.NOTICE,
                instance_id,
                f"Its history has {execution.events} events; reading and replaying them takes long. Let the "
                "orchestrator continue as new, or share its work with sub-orchestrations.",
            )


# ---- messages and blobs


def _messages(picture: Picture) -> Iterator[Finding]:
    queues = [each.queue for each in picture.partitions]
    for each in picture.messages:
        if each.message is None:
            yield Finding(
                "message-unreadable", Severity.PROBLEM, each.queue, f"A message cannot be read: {each.trouble}"
            )
            continue
        target, event = each.message.target.instance_id, each.message.event
        if each.queue in queues and queues.index(each.queue) != partition_of(target, len(queues)):
            yield Finding(
                "message-astray",
                Severity.PROBLEM,
                target,
                f"{event.type_name} for it lies in {each.queue}, not in {picture.queue_of(target)}: who sent it was "
                "configured for another number of partitions.",
            )
        is_known = target in picture.rows or target in picture.executions
        if not is_known and not isinstance(event, ExecutionStarted) and not is_entity(target):
            yield Finding(
                "unknown-instance",
                Severity.NOTICE,
                target,
                f"{event.type_name} lies in {each.queue} for it, but there is no such instance. A worker drops it.",
            )


def _blobs(picture: Picture) -> Iterator[Finding]:
    all_seen = not any(picture.hidden.values())
    for name, (size, etag) in picture.blobs.items():
        if size > LARGE_BLOB_BYTES:
            yield Finding(
                "large-value",
                Severity.NOTICE,
                name,
                f"The blob has {size / 1024 / 1024:.1f} MiB, compressed; who reads its instance reads it. Hand over "
                "a reference to such data instead.",
            )
        if all_seen and name not in picture.referred and name.rpartition("/")[0] not in picture.folders:
            yield Finding(
                "unused-blob",
                Severity.NOTICE,
                name,
                "It belongs to no instance, and no message names it.",
                # A worker stores a blob before the row that names it.
                None if picture.is_at_work else DeleteBlob(name, etag),
            )


_RULES: tuple[Callable[[Picture], Iterator[Finding]], ...] = (
    _partitions,
    _dead_letters,
    _rows,
    _episodes,
    _open_tasks,
    lost_requests,
    _entities,
    _messages,
    _blobs,
    _sizes,
)
