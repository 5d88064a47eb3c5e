"""An episode: from the messages that arrived to everything that must be stored.

::

    begin_episode ── new events ──► the code ── actions ──► finish_episode ──► Checkpoint
                          ▲                        │
                          └── next_generation ◄────┘  continued as new

A checkpoint says what to write, ``runtime.checkpoints`` in which order. What was decided while the instance is
suspended is left out: replay decides it again when the instance is resumed. A terminated instance ends without
running any code.

Source: DurableTask.Core, TaskOrchestrationDispatcher.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Union

from taskhub.core.operations import FIRE_AND_FORGET_TAG, EpisodeRules, Outgoing, carry_out
from taskhub.core.runtime_state import RuntimeState
from taskhub.model.actions import Actions, Raised, Restarted, Returned, SendEvent
from taskhub.model.entities import RELEASE_EVENT, is_entity
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TimerFired,
)
from taskhub.model.ids import ExecutionId
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.model.ids import InstanceId, Utc

_GENERATIONS = uuid.UUID("c7f1c0a2-3c3e-5d0b-8a41-0f6a2f1e9b77")
"""Name space of the execution ids of generations."""

_GENERATION_STEP = timedelta(microseconds=1)
"""Between the clocks of two generations that run in one work item."""

MAX_GENERATIONS_BACK = 50
"""Generations of one work item that are looked back over."""

VERSION_MISMATCH = "Orchestration version did not comply with Worker Versioning"
"""The reference's text."""


@dataclass(frozen=True, slots=True)
class Outbound:
    """A message to put before the history is stored, with what its envelope tells of the sender."""

    outgoing: Outgoing
    sender: OrchestrationInstance
    episode: int


@dataclass(frozen=True, slots=True)
class Episode:
    """One pass of the code, begun."""

    started: ExecutionStarted
    clock: Utc
    """The time that the code sees."""
    number: int
    """OrchestratorStarted events so far, this one included. Later generations of one work item keep the number of
    the first, as the reference does."""
    first_index: int
    """Row of the first new event."""
    new_events: tuple[HistoryEvent, ...]
    next_task_id: int
    """As far as the history tells; the code knows better once it ran."""
    is_suspended: bool
    terminated: ExecutionTerminated | None
    locks: Mapping[str, Sequence[InstanceId]] = field(default_factory=dict)
    """Entities that the execution has locked, by request; as far as the history tells."""
    outbound: tuple[Outbound, ...] = ()
    """What earlier generations of the same work item sent."""
    custom_status: str | None = None
    """What the generation before left, in the same work item."""
    replaces: bool = False
    """Whether the stored history is an earlier generation's."""
    rewound: Mapping[int, int] = field(default_factory=dict)
    """How often rewinds took back each task of the execution."""


class KeepStatus:
    """Leave the stored custom status as it is: no code ran that could have set one."""


KEEP_STATUS = KeepStatus()


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is stored before the messages are put: how an episode began.

    Whoever runs it again, because we died before the rest was stored, then sees the same events at the same time, and
    makes the same requests under the same ids and labels.
    """

    instance: OrchestrationInstance
    """The execution; the checkpoint's may be a later one."""
    first_index: int
    events: tuple[HistoryEvent, ...]
    remembers: bool = True
    """Whether what the checkpoint remembers of requests is stored with them; else they are taken in when it is run."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All writes of one episode but the deletes of the messages that it used up.

    A crash between two of them leaves duplicates, which ``core.runtime_state`` recognises, never losses.

    Source: DurableTask.AzureStorage, CompleteTaskOrchestrationWorkItemAsync.
    """

    instance: OrchestrationInstance
    outbound: tuple[Outbound, ...]
    first_index: int
    new_events: tuple[HistoryEvent, ...]
    custom_status: Union[str, KeepStatus, None]  # noqa: UP007 (evaluated on 3.10)
    replaces: bool
    withholds: bool = False
    """Decisions were left out, so that the code in memory is ahead of the history."""
    ahead: Ahead | None = None
    taken_requests: str | None = None
    """The ids that an entity knows, or that earlier executions have taken, as the sentinel holds them; ``None``: those
    that it holds already."""
    clears: int = 0
    """How many rows the execution has that this one replaces, with those stored ahead: what is left of them goes."""
    farewell: tuple[Outbound, ...] = ()
    """What others must hear of an execution that this one takes the place of; put before anything is stored."""
    status: Union[RuntimeStatus, None] = None  # noqa: UP007 (evaluated on 3.10)
    """What the row shows where the new events do not tell; ``None``: what it shows already."""

    @property
    def is_final(self) -> bool:
        """Whether the execution ends with it."""
        return any(isinstance(event, ExecutionCompleted) for event in self.new_events)


def begin_episode(state: RuntimeState, accepted: Sequence[HistoryEvent], *, now: Utc) -> Episode:
    """Begin an episode with the messages that were let in; in a new execution the first of them is its start.

    Its clock is never behind that of the episode before, whatever that worker's clock was: time does not go back for
    the code, and what it sends to entities is put in order by its times.
    """
    started = state.started or next(event for event in accepted if isinstance(event, ExecutionStarted))
    is_suspended = state.status is RuntimeStatus.Suspended
    terminated = None
    for event in accepted:
        if isinstance(event, (ExecutionSuspended, ExecutionResumed)):
            is_suspended = isinstance(event, ExecutionSuspended)
        elif isinstance(event, ExecutionTerminated):
            terminated = event
    clock = now if state.clock is None or state.clock.moment() < now.moment() else state.clock
    return Episode(
        started=started,
        clock=clock,
        number=state.episodes + 1,
        first_index=state.event_count,
        # What was delivered counts as played from the commit on, what the hub writes itself never does.
        new_events=(OrchestratorStarted(timestamp=clock), *(replace(event, is_played=True) for event in accepted)),
        next_task_id=state.next_task_id,
        is_suspended=is_suspended,
        terminated=terminated,
        locks={lock_id: tuple(held) for lock_id, held in state.locks.items()},
        rewound=state.rewound,
    )


def resume_episode(state: RuntimeState) -> Episode:
    """Go on with the last episode of a history, which was stored in part; it brings nothing but what is stored."""
    if state.started is None or state.clock is None:
        raise ValueError("an execution that was stored in part has begun")
    return Episode(
        started=state.started,
        clock=state.clock,
        number=state.episodes,
        first_index=state.event_count,
        new_events=(),
        next_task_id=state.next_task_id,
        is_suspended=state.status is RuntimeStatus.Suspended,
        terminated=state.terminated,
        locks={lock_id: tuple(held) for lock_id, held in state.locks.items()},
        rewound=state.rewound,
    )


def checked(episode: Episode, actions: Actions, rules: EpisodeRules) -> Actions:
    """Return the actions, or those of a failure when they are beyond what the hub allows."""
    error = _beyond_limits(actions, rules)
    return actions if error is None else Actions((), None, failure(episode.started.name, error), episode.next_task_id)


def _beyond_limits(actions: Actions, rules: EpisodeRules) -> str | None:
    """Return the extension's text about a custom status that is too large, or about too many operations.

    The extension says nothing about the operations that it does not start, so that the instance waits for ever.
    """
    kilobytes = _utf16_bytes(actions.custom_status or "") // 1024
    if kilobytes > rules.max_custom_status_kilobytes:
        return (
            "The UTF-16 size of the JSON-serialized payload must not exceed "
            f"{rules.max_custom_status_kilobytes} KB. The current payload size is {kilobytes} KB."
        )
    if actions.next_task_id > rules.max_actions:
        return (
            f"Maximum amount of orchestration actions ({rules.max_actions}) has been reached. This value can be "
            "configured in host.json file as MaxOrchestrationActions."
        )
    return None


def failure(orchestrator: str, error: str, stack: str = "") -> Raised:
    """Return the outcome of an orchestration that failed with ``error``, in the extension's words."""
    return Raised(
        f"Orchestrator function '{orchestrator}' failed: {error}", details=f"Message: {error}, StackTrace: {stack}"
    )


def continues_as_new(episode: Episode, actions: Actions) -> bool:
    """Return whether the next generation begins in this work item."""
    return isinstance(actions.outcome, Restarted) and not episode.is_suspended


def next_execution_id(first: Episode, episode: Episode) -> ExecutionId:
    """Return the execution id of the generation that follows an episode.

    The same when the work item is resumed, another one when it is begun again: then its clock is another, so the code
    may decide otherwise, and answers to what it asked for the first time must not be taken for those of the second.

    Args:
        first: the first episode of the work item.
        episode: the last one so far.
    """
    return _execution_after(episode.started.instance.execution_id, str(first.clock))


def next_clock(episode: Episode) -> Utc:
    """Return the time at which the generation after an episode begins: of the same work item, so at once."""
    return episode.clock.plus(_GENERATION_STEP)


def follows(history: Sequence[HistoryEvent], execution_id: ExecutionId) -> bool:
    """Return whether the work item that stored a generation was one of an earlier execution.

    The worker that ran it may have died before it wrote the Instances row, or deleted the messages, which name the
    execution before.

    Args:
        history: of the generation.
        execution_id: of the execution before, as messages or the row name it.
    """
    state = RuntimeState.of(history[:2])
    if state.clock is None or state.execution_id is None:
        return False
    clock = state.clock
    for generations in range(1, MAX_GENERATIONS_BACK + 1):
        clock = clock.plus(-_GENERATION_STEP)
        began = str(clock)
        ancestor: ExecutionId = execution_id
        for _ in range(generations):
            ancestor = _execution_after(ancestor, began)
        if ancestor == state.execution_id:
            return True
    return False


def _execution_after(execution_id: ExecutionId | None, began: str) -> ExecutionId:
    """Return the id of the generation that a work item begins: the version-5 UUID of the one before and the time.

    By hand, for :func:`follows` asks for a thousand of them, and :func:`uuid.uuid5` takes more than twice as long.

    Args:
        execution_id: of the generation before.
        began: when the work item began.
    """
    digest = bytearray(
        hashlib.sha1(_GENERATIONS.bytes + f"{execution_id}:{began}".encode(), usedforsecurity=False).digest()[:16]
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return ExecutionId(digest.hex())


def next_generation(
    episode: Episode, actions: Actions, *, execution_id: ExecutionId, now: Utc, rules: EpisodeRules
) -> Episode:
    """Begin the next generation of an instance whose code continued as new.

    Nothing of the last episode of the old generation is stored, but what it sent is sent. A parent stays linked.
    """
    restarted = actions.outcome
    if not isinstance(restarted, Restarted):
        raise ValueError("only an episode that continued as new has a next generation")
    carried_out = _carry_out(episode, actions, now, rules)
    carried_out += _releases(episode, carried_out, actions.next_task_id, now, rules)
    instance = OrchestrationInstance(episode.started.instance.instance_id, execution_id)
    started = replace(
        episode.started,
        instance=instance,
        input=restarted.input,
        version=episode.started.version if restarted.version is None else restarted.version,
        timestamp=now,
        is_played=True,
        scheduled_start=None,
        generation=None,
    )
    return Episode(
        started=started,
        clock=now,
        number=episode.number,
        first_index=0,
        new_events=(
            OrchestratorStarted(timestamp=now),
            started,
            *(replace(event, is_played=True) for event in restarted.carried),
            # The code sees this one, unlike those that end episodes: it counts as played.
            OrchestratorCompleted(timestamp=now, is_played=True),
        ),
        next_task_id=0,
        is_suspended=False,
        terminated=None,
        outbound=(*episode.outbound, *_sent(episode, carried_out)),
        custom_status=_custom_status(episode, actions),
        replaces=True,
    )


def finish_episode(episode: Episode, actions: Actions, *, now: Utc, rules: EpisodeRules) -> Checkpoint:
    """Return everything that must be stored after the code decided; it must not have continued as new."""
    if episode.is_suspended:
        withholds = bool(actions.operations) or actions.outcome is not None
        return _checkpoint(episode, (), (), _custom_status(episode, actions), now, withholds=withholds)
    carried_out = _carry_out(episode, actions, now, rules)
    outcome = actions.outcome
    if outcome is not None:
        carried_out += _releases(episode, carried_out, actions.next_task_id, now, rules)
    events = [event for event, _ in carried_out]
    outbound = list(_sent(episode, carried_out))
    if outcome is not None:
        # Its id is the next one.
        released = len(carried_out) - len(actions.operations)
        end, answer = _end(episode, outcome, actions.next_task_id + released, now)
        events.append(end)
        outbound.extend(_to_parent(episode, answer))
    return _checkpoint(episode, events, outbound, _custom_status(episode, actions), now)


def storing_ahead(checkpoint: Checkpoint, first: Episode, *, whatever_it_sends: bool = False) -> Checkpoint:
    """Return a checkpoint that stores how its episode began before what it sends is put.

    Requests to entities need it: an entity would apply an operation twice. Other messages need no such care, whoever
    gets an activity or a start twice runs it twice, but answers the same task. But a generation that is begun again is
    another execution, and so are its children: those of the first time would go on, or be replaced in the middle of
    what they do. And an episode may begin with what is in no queue (storage.md 8.4 C): then it might begin otherwise
    the next time, and decide otherwise, while what it sent the first time is on its way under the same numbers.

    Args:
        checkpoint: what is to be stored.
        first: the first episode of the work item.
        whatever_it_sends: also for messages that need no care by themselves.
    """
    sends = checkpoint.outbound
    if not whatever_it_sends:
        sends = tuple(outbound for outbound in sends if _needs_same_beginning(outbound, first))
    if not first.new_events or not sends:
        return checkpoint
    return replace(checkpoint, ahead=Ahead(first.started.instance, first.first_index, first.new_events))


def _needs_same_beginning(outbound: Outbound, first: Episode) -> bool:
    message = outbound.outgoing.message
    event = message.event
    if isinstance(event, ExecutionStarted):
        return outbound.sender != first.started.instance
    # A release that is sent twice does nothing the second time.
    return isinstance(event, EventRaised) and is_entity(message.target.instance_id) and event.name != RELEASE_EVENT


def terminate(episode: Episode, *, now: Utc) -> Checkpoint:
    """Return what must be stored when an episode brought a termination: the end, whatever the code would say."""
    if episode.terminated is None:
        raise ValueError("the episode brought no termination")
    reason = episode.terminated.input
    releases = _releases(episode, (), episode.next_task_id, now, EpisodeRules())
    end = ExecutionCompleted(
        event_id=episode.next_task_id + len(releases), timestamp=now, status=RuntimeStatus.Terminated, result=reason
    )
    answer = SubOrchestrationFailed(timestamp=now, task_scheduled_id=_parents_task(episode), reason=reason)
    outbound = (*_sent(episode, releases), *_to_parent(episode, answer))
    return _checkpoint(episode, (*(event for event, _ in releases), end), outbound, KEEP_STATUS, now)


def taking_the_place(checkpoint: Checkpoint, before: RuntimeState, started: ExecutionStarted) -> Checkpoint:
    """Return the first checkpoint of an execution, for an instance whose stored one gives way to it.

    If that one has not ended it is as good as terminated: its parent hears of a failure, and what it has locked is open
    again. The reference leaves both to a termination that its clients send before the start.

    Args:
        checkpoint: of the new execution.
        before: the stored one.
        started: the start of the new one.
    """
    if before.started is None or before.status.is_terminal:
        return checkpoint
    name = started.instance.instance_id
    reason = (
        f"Instance '{name}' was {before.status.name} when another one was started under its ID, which took its place."
    )
    clock = started.timestamp
    ended = terminate(begin_episode(before, [ExecutionTerminated(timestamp=clock, input=reason)], now=clock), now=clock)
    farewell = [
        outbound
        for outbound in ended.outbound
        # The same parent's same task, asked for a second time: the new execution will answer it.
        if before.started.parent != started.parent
        or not isinstance(outbound.outgoing.message.event, SubOrchestrationFailed)
    ]
    return replace(checkpoint, farewell=tuple(farewell))


def refuse_version(episode: Episode, *, now: Utc) -> Checkpoint:
    """Return what must be stored when an app fails orchestrations of the episode's version: the end, without code."""
    failure = FailureDetails("VersionMismatch", VERSION_MISMATCH, is_non_retriable=True)
    # Nothing was played: no code has seen the start.
    unplayed = replace(episode, new_events=tuple(replace(event, is_played=False) for event in episode.new_events))
    releases = _releases(episode, (), episode.next_task_id, now, EpisodeRules())
    task_id = episode.next_task_id + len(releases)
    end = ExecutionCompleted(event_id=task_id, timestamp=now, status=RuntimeStatus.Failed, failure=failure)
    # The reference tells the parent no reason, only details that Python code does not get to see.
    answer = SubOrchestrationFailed(
        timestamp=now, task_scheduled_id=_parents_task(episode), reason=VERSION_MISMATCH, failure=failure
    )
    outbound = (*_sent(episode, releases), *_to_parent(episode, answer))
    return _checkpoint(unplayed, (*(event for event, _ in releases), end), outbound, KEEP_STATUS, now)


def _end(
    episode: Episode, outcome: Returned | Raised | Restarted, task_id: int, now: Utc
) -> tuple[ExecutionCompleted, SubOrchestrationCompleted | SubOrchestrationFailed]:
    """Return the end of an execution, and what its parent hears of it, should it have one."""
    asked = _parents_task(episode)
    match outcome:
        case Returned(result=result):
            end = ExecutionCompleted(event_id=task_id, timestamp=now, status=RuntimeStatus.Completed, result=result)
            return end, SubOrchestrationCompleted(timestamp=now, task_scheduled_id=asked, result=result)
        case Raised(reason=reason, details=details, failure=failure):
            end = ExecutionCompleted(
                event_id=task_id, timestamp=now, status=RuntimeStatus.Failed, result=reason, failure=failure
            )
            return end, SubOrchestrationFailed(
                timestamp=now, task_scheduled_id=asked, reason=reason, details=details, failure=failure
            )
        case Restarted():
            raise ValueError("an episode that continued as new goes on with its next generation")


def _carry_out(
    episode: Episode, actions: Actions, now: Utc, rules: EpisodeRules
) -> list[tuple[HistoryEvent, Outgoing]]:
    return [
        carry_out(operation, episode.started, now=now, rules=rules, rewound=episode.rewound)
        for operation in actions.operations
    ]


def _releases(
    episode: Episode,
    decided: Sequence[tuple[HistoryEvent, Outgoing]],
    first_task_id: int,
    now: Utc,
    rules: EpisodeRules,
) -> list[tuple[HistoryEvent, Outgoing]]:
    """Return what opens the entities that an execution leaves locked when it ends, however it ends.

    The reference leaves them locked when it fails or is terminated. A lock that is not granted yet is released as
    well: an entity that hears of the release first does not lock.
    """
    state = RuntimeState(locks={lock_id: list(held) for lock_id, held in episode.locks.items()})
    for event, _ in decided:
        if isinstance(event, EventSent):
            state.apply(event)
    held = [(lock_id, entity) for lock_id, entities in state.locks.items() for entity in entities]
    parent = episode.started.instance.instance_id
    return [
        carry_out(
            SendEvent(first_task_id + index, entity, RELEASE_EVENT, _compact({"parent": parent, "id": lock_id})),
            episode.started,
            now=now,
            rules=rules,
            rewound=episode.rewound,
        )
        for index, (lock_id, entity) in enumerate(held)
    ]


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _sent(episode: Episode, carried_out: Sequence[tuple[HistoryEvent, Outgoing]]) -> tuple[Outbound, ...]:
    return tuple(Outbound(outgoing, episode.started.instance, episode.number) for _, outgoing in carried_out)


def _parents_task(episode: Episode) -> int:
    parent = episode.started.parent
    return parent.task_schedule_id if parent else -1


def _to_parent(episode: Episode, answer: SubOrchestrationCompleted | SubOrchestrationFailed) -> tuple[Outbound, ...]:
    started = episode.started
    if started.parent is None or FIRE_AND_FORGET_TAG in (started.tags or {}):
        return ()
    message = TaskMessage(answer, target=started.parent.instance)
    return (Outbound(Outgoing(message), started.instance, episode.number),)


def _custom_status(episode: Episode, actions: Actions) -> str | None:
    # The code sends its status with every episode; only a new generation that sets none inherits one.
    return actions.custom_status if actions.custom_status is not None else episode.custom_status


def _checkpoint(
    episode: Episode,
    decided: Sequence[HistoryEvent],
    outbound: Sequence[Outbound],
    custom_status: str | KeepStatus | None,
    now: Utc,
    *,
    withholds: bool = False,
) -> Checkpoint:
    events = [*episode.new_events, *decided]
    # There is none when all but the mark of its end was stored of an interrupted episode.
    if not events or not isinstance(events[-1], OrchestratorCompleted):
        events.append(OrchestratorCompleted(timestamp=now))
    alive = None if any(isinstance(event, ExecutionCompleted) for event in decided) else episode.started.instance
    return Checkpoint(
        instance=episode.started.instance,
        outbound=tuple(each for each in (*episode.outbound, *outbound) if not _is_idle_timer(each, alive)),
        first_index=episode.first_index,
        new_events=tuple(events),
        custom_status=custom_status,
        replaces=episode.replaces,
        withholds=withholds,
        # Since it was rewound its row says that it is pending, or still that it failed.
        status=RuntimeStatus.Running if episode.rewound and not episode.is_suspended else None,
    )


def _is_idle_timer(outbound: Outbound, alive: OrchestrationInstance | None) -> bool:
    """Return whether a message would wake an execution that this checkpoint ends."""
    return isinstance(outbound.outgoing.message.event, TimerFired) and outbound.sender != alive


def _utf16_bytes(text: str) -> int:
    return 2 * len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass"))
