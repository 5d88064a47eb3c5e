"""Orchestrations: the four verbs for the messages of one instance.

Fetching takes an instance with messages from the inbox. Processing brings its session into memory, lets in the
messages that are due, and runs the code to its next wait, through as many generations as it continues as new.
Completing commits the checkpoint and deletes the messages.

Source: DurableTask.AzureStorage, AzureStorageOrchestrationService; DurableTask.Core, TaskOrchestrationDispatcher.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskhub.core import episode as episodes
from taskhub.core.admission import (
    Arrival,
    Finished,
    Interrupted,
    NothingNew,
    Run,
    StartVerdict,
    TerminatedUnstarted,
    Unknown,
    admit,
    is_overtaken,
    judge_start,
)
from taskhub.core.lifecycle import changes_in, changes_of_generation
from taskhub.core.operations import EpisodeRules
from taskhub.core.runtime_state import RuntimeState
from taskhub.core.timers import MAX_HIDDEN_SECONDS
from taskhub.core.tracing import with_own_span
from taskhub.core.versioning import VersionRule
from taskhub.errors import ContentRefused, PayloadError, StaleCheckpoint
from taskhub.model.actions import Actions, Raised
from taskhub.model.history import ExecutionStarted, GenericEvent
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionManager
from taskhub.model.versions import VersionFailure
from taskhub.runtime.folding import Folding
from taskhub.runtime.history_store import NO_HISTORY
from taskhub.runtime.instance_work import NO_MESSAGES, InstanceWork, Sorted, all_but, pick
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.core.admission import Admission
    from taskhub.core.episode import Checkpoint, Episode
    from taskhub.model.history import HistoryEvent
    from taskhub.model.instance import InstanceState
    from taskhub.runtime.application import Application
    from taskhub.runtime.checkpoints import Checkpoints, Sent
    from taskhub.runtime.folding import ActivitiesHere
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.inbox import Inbox, WorkItem
    from taskhub.runtime.mailbox import Held, Mailbox
    from taskhub.runtime.renewals import Renewals
    from taskhub.runtime.services import Services

ROW_WAITS_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""A start may be read before its client has written the row: pauses between looks at it."""

_logger = logging.getLogger("taskhub.orchestrations")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    session: Session | None = None
    episode: Episode | None = None
    checkpoint: Checkpoint | None = None
    messages: Sorted = NO_MESSAGES
    first: Episode | None = None
    """The first episode of the work item, if it must be stored as it began before anything is sent."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One episode of a work item, to be committed."""

    episode: Episode
    checkpoint: Checkpoint
    used_up: tuple[Held, ...]
    """The messages that brought it."""
    first: Episode | None
    """As in :class:`Outcome`."""

    @classmethod
    def of(cls, outcome: Outcome) -> _Step:
        """Return the episode of a work item that has one."""
        assert outcome.episode is not None
        assert outcome.checkpoint is not None
        return cls(outcome.episode, outcome.checkpoint, outcome.messages.used_up, outcome.first)


@dataclass(frozen=True, slots=True)
class Committed:
    """What is stored of a work item."""

    checkpoint: Checkpoint
    """The last one."""
    messages: Sorted


class Orchestrations(InstanceWork):
    """See the module, and :class:`taskhub.runtime.dispatcher.Work`."""

    def __init__(
        self,
        services: Services,
        application: Application,
        inbox: Inbox,
        mailbox: Mailbox,
        renewals: Renewals,
        checkpoints: Checkpoints,
        activities: ActivitiesHere,
    ) -> None:
        super().__init__(services, inbox, mailbox, renewals)
        settings = services.settings
        self._application = application
        self._checkpoints = checkpoints
        self._activities = activities
        self._folding = Folding(services, inbox, activities)
        self._rules = EpisodeRules(
            default_version=settings.default_version,
            store_inputs=settings.store_inputs,
            max_custom_status_kilobytes=settings.max_custom_status_kilobytes,
            max_actions=settings.max_orchestration_actions,
        )
        self._versions = VersionRule(settings.default_version, settings.version_match, settings.version_failure)
        self._rejected: set[tuple[str, str | None]] = set()

    # ---- processing and completing

    async def process(self, item: WorkItem) -> Outcome:
        """Run an episode, if the batch holds something new for the code."""
        await self._gather(item)
        async with self._renewals.hold(item.batch.messages):
            start = self._start(item)
            row = await self._row_of_new(item, start)
            session, stored = await self._session(item, is_new=row is not None)
            other = None if stored is None else await self._other_execution(item, stored)
            if other is not None and await self._is_over(item, other):
                return self._of_an_earlier_execution(item)
            if start is not None and session.state.started is None:
                is_late = other is not None and is_overtaken(start, other.events)
                verdict = StartVerdict.DUPLICATE if is_late else await self._judge_start(item, start, session, row)
                if verdict is not StartVerdict.PROCESS:
                    return await self._without_start(item, start, verdict)
                if other is not None:
                    session.memory.take_the_place(RuntimeState.of(other.events).received, self._now().moment())
            arrivals = [Arrival(held.envelope, held.dequeue_count) for held in item.batch.messages]
            admission = admit(session.state, arrivals, execution_id=item.batch.execution_id)
            outcome = await self._act(item, session, stored, admission)
            return outcome if other is None else _taking_the_place(outcome, other)

    async def complete(self, item: WorkItem, result: Outcome) -> None:
        """Commit the checkpoint; let go of the instance, then of its messages."""
        session = result.session
        if session is None or result.checkpoint is None or result.episode is None:
            await self._let_go(item, session, result.messages)
            return
        deletes = Nursery(self._services.environment.spawn)
        try:
            committed = await self._commit(item, session, result, deletes)
        except StaleCheckpoint:
            if not session.is_assumed_new or session.etag is not None:
                raise
            await self._begin_again(item, result.episode)
        else:
            is_warm = self._may_stay_warm(session, committed.checkpoint)
            await self._let_go(item, session if is_warm else None, committed.messages)
        finally:
            await deletes.idle()

    async def _gather(self, item: WorkItem) -> None:
        """Wait a moment for more answers, if there are only such, and activities here are about to give some.

        Each episode costs two transactions, however many answers it takes in.
        """
        clock = self._services.environment.clock
        ends = clock.monotonic() + self._services.settings.gather_seconds
        while all(held.work_item is not None for held in item.batch.messages):
            seconds = ends - clock.monotonic()
            if seconds <= 0 or not self._activities.running(item.instance.id):
                break
            await item.instance.arrived.wait(seconds)
            self._inbox.absorb(item)

    # ---- bringing the execution into memory

    async def _row_of_new(self, item: WorkItem, start: ExecutionStarted | None) -> InstanceState | None:
        """Return the row of an instance that can be taken for new, so that there is no history to load (8.4 E).

        A client has just written it, and nobody has read the start before. An instance that ended and is started
        anew looks the same: then the first commit is refused, and the episode is run again (:meth:`_begin_again`).
        """
        if (
            not self._services.settings.assume_new
            or start is None
            or start.parent is not None
            or item.clock is not None
            or item.instance.session is not None
            or any(held.dequeue_count > 1 for held in item.batch.messages)
        ):
            return None
        row = next((held.row for held in item.batch.messages if held.row is not None), None)
        row = row or await self._services.instances.read(item.instance.id)
        is_new = (
            row is not None
            and row.status is RuntimeStatus.Pending
            and row.execution_id == start.instance.execution_id
            and not row.generation
        )
        return row if is_new else None

    async def _begin_again(self, item: WorkItem, episode: Episode) -> None:
        """Run the first episode of an instance again that was taken for new and has a history.

        At the same time as before, for the code: what it sent is sent again.
        """
        _logger.info(
            "instance '%s' has a history already: its start is looked at again",
            item.instance.id,
            extra={"event": "not_new", "instance_id": item.instance.id},
        )
        if item.instance.session is not None:
            item.instance.session.close()
            item.instance.session = None
        item.clock = episode.clock
        await self.complete(item, await self.process(item))

    async def _session(self, item: WorkItem, *, is_new: bool = False) -> tuple[Session, StoredHistory | None]:
        """Return the instance's session; and the history that it was loaded from, if it was not warm."""
        if is_new:
            session = item.instance.session = Session(NO_HISTORY)
            session.is_assumed_new = True
            return session, None
        warm = item.instance.session
        wanted = item.batch.execution_id
        if isinstance(warm, Session) and wanted in (None, warm.state.execution_id):
            return warm, None
        stored = await self._load(item, wanted)
        # The instance holds it from now on, so that it is closed whatever happens.
        if warm is not None:
            warm.close()
        session = item.instance.session = Session(stored)
        return session, stored

    async def _other_execution(self, item: WorkItem, stored: StoredHistory) -> StoredHistory | None:
        """Return what is stored of the instance when it is not the execution that the batch names."""
        named = item.batch.execution_id
        if named is None or stored.execution_id in (None, named):
            return None
        return await self._load(item, None)

    async def _is_over(self, item: WorkItem, current: StoredHistory) -> bool:
        """Return whether the execution that the batch names has continued as new; see to the row of the one after.

        The worker that ran it died before it deleted these messages, and perhaps before it wrote the row.
        """
        named = item.batch.execution_id
        if named is None or not episodes.follows(current.events, named):
            return False
        await self._checkpoints.repair_row(item.partition, item.instance.id, current, instead_of=named)
        return True

    def _of_an_earlier_execution(self, item: WorkItem) -> Outcome:
        messages = item.batch.messages
        named = tuple(held for held in messages if held.envelope.message.target.execution_id is not None)
        return Outcome(messages=Sorted(named, later=tuple(held for held in messages if held not in named)))

    def _start(self, item: WorkItem) -> ExecutionStarted | None:
        for held in item.batch.messages:
            event = held.envelope.message.event
            if isinstance(event, ExecutionStarted):
                return event
        return None

    async def _judge_start(
        self, item: WorkItem, start: ExecutionStarted, session: Session, row: InstanceState | None
    ) -> StartVerdict:
        """Compare a start with what began before, a client's also with its row; wait a moment for a row to come."""
        if start.instance.execution_id is not None and session.memory.has_begun(start.instance.execution_id):
            return StartVerdict.DUPLICATE
        if start.parent is not None:
            return StartVerdict.PROCESS
        held = item.batch.messages[0]
        for pause in (*ROW_WAITS_SECONDS, None):
            row = row or await self._services.instances.read(item.instance.id)
            verdict = judge_start(start, row, dequeue_count=held.dequeue_count, taken_at=Utc.of(held.taken_at))
            if verdict is not StartVerdict.WAIT or pause is None:
                break
            row = None
            await self._services.environment.clock.sleep(pause)
        if row is not None and verdict is StartVerdict.PROCESS:
            session.row_etag = row.etag
        return verdict

    async def _without_start(self, item: WorkItem, start: ExecutionStarted, verdict: StartVerdict) -> Outcome:
        messages = item.batch.messages
        if verdict is StartVerdict.WAIT:
            return Outcome(messages=Sorted(early=tuple(messages)))
        starts = tuple(held for held in messages if held.envelope.message.event is start)
        await self._clear_away(item, starts)
        return Outcome(messages=Sorted(starts, later=tuple(held for held in messages if held not in starts)))

    # ---- acting on what was let in

    async def _act(
        self, item: WorkItem, session: Session, stored: StoredHistory | None, admission: Admission
    ) -> Outcome:
        messages = item.batch.messages
        match admission:
            case Run(accepted=accepted, early=early):
                now = item.clock or self._now()
                episode = episodes.begin_episode(session.state, self._with_spans(accepted, now), now=now)
                if self._rejects(episode):
                    return self._put_back_version(item, episode)
                stores_ahead = self._stores_ahead(messages, accepted)
                first = episode if stores_ahead else None
                episode, checkpoint = await self._run(session, episode, stores_ahead=stores_ahead)
                used_up = Sorted(all_but(messages, early), pick(messages, early))
                return Outcome(session, episode, checkpoint, used_up, first)
            case Interrupted(used_up=used_up, later=later):
                episode = episodes.resume_episode(session.state)
                if self._rejects(episode):
                    return self._put_back_version(item, episode)
                if stored is not None:
                    # Who stored a part came to no row, which may still be that of the start, or of nobody.
                    await self._checkpoints.repair_row(item.partition, item.instance.id, stored)
                episode, checkpoint = await self._run(session, episode)
                sorted_messages = Sorted(pick(messages, used_up), later=pick(messages, later))
                return Outcome(session, episode, checkpoint, sorted_messages)
            case NothingNew(refresh_row=refresh_row, early=early):
                if refresh_row and stored is not None:
                    await self._checkpoints.repair_row(item.partition, item.instance.id, stored)
                dropped = all_but(messages, early)
                may_stay = session.state.started is not None and not session.state.is_terminal
                # A session in memory knows of no purge: what was put after it belongs to nobody.
                if stored is None and await self._clear_away_large(item, dropped):
                    may_stay = False
                return Outcome(session if may_stay else None, messages=Sorted(dropped, pick(messages, early)))
            case Finished(used_up=used_up, later=later, early=early):
                ended = _sorted(messages, used_up, early, later)
                if stored is not None:
                    row = await self._checkpoints.repair_row(item.partition, item.instance.id, stored)
                    if row is not None and row.status is RuntimeStatus.Pending:
                        ended = self._until_start(row, ended)
                return Outcome(messages=ended)
            case TerminatedUnstarted(event=event, early=early):
                await self._services.instances.terminate_unstarted(item.instance.id, event)
                dropped = all_but(messages, early)
                await self._clear_away_large(item, dropped)
                return Outcome(messages=Sorted(dropped, pick(messages, early)))
            case Unknown(used_up=used_up, later=later, early=early):
                return Outcome(messages=await self._unknown(item, _sorted(messages, used_up, early, later)))

    def _with_spans(self, accepted: Sequence[HistoryEvent], now: Utc) -> Sequence[HistoryEvent]:
        """Return what was let in, a start with the span of its orchestration."""
        if self._services.environment.tell_spans is None:
            return accepted
        return [with_own_span(event, now=now) if isinstance(event, ExecutionStarted) else event for event in accepted]

    def _stores_ahead(self, messages: Sequence[Held], accepted: Sequence[HistoryEvent]) -> bool:
        """Return whether an episode is stored as it began before anything is sent.

        What is in no queue may be otherwise the next time, or not be there. And what is in the queue may be read in
        another order then: of two answers of an activity that ran twice the first one counts. A start is the same
        whenever it is read.
        """
        if any(held.work_item is not None for held in messages):
            return True
        is_told = any(not isinstance(event, ExecutionStarted) for event in accepted)
        return is_told and self._services.settings.commit_before_messages

    async def _run(
        self, session: Session, episode: Episode, *, stores_ahead: bool = False
    ) -> tuple[Episode, Checkpoint]:
        """Run the code through an episode, and through the generations that begin in it.

        Args:
            session: of the execution.
            episode: its next one.
            stores_ahead: whether the episode must be stored as it began before it sends anything.
        """
        first = episode
        execution_id = episode.started.instance.execution_id
        if session.state.started is None and execution_id is not None:
            session.memory.begin(execution_id, after=session.stored_execution_id)
        if episode.terminated is not None:
            return episode, episodes.terminate(episode, now=self._now())
        if not self._versions.accepts(episode.started):
            return episode, episodes.refuse_version(episode, now=self._now())
        while True:
            actions = await session.advance(self._application, episode)
            actions = episodes.checked(episode, actions, self._rules)
            if isinstance(actions.outcome, Raised):
                session.failure_details = actions.outcome.details or ""
            if not episodes.continues_as_new(episode, actions):
                checkpoint = episodes.finish_episode(episode, actions, now=self._now(), rules=self._rules)
                if stores_ahead or self._services.settings.commit_before_messages:
                    checkpoint = episodes.storing_ahead(checkpoint, first, whatever_it_sends=stores_ahead)
                return episode, checkpoint
            before = episode
            episode = episodes.next_generation(
                before,
                actions,
                execution_id=episodes.next_execution_id(first, before),
                now=episodes.next_clock(before),
                rules=self._rules,
            )
            session.begin_again(before)
            self._note_generation(session, before)

    async def _unknown(self, item: WorkItem, messages: Sorted) -> Sorted:
        """Drop messages for an instance that never was, but not those for one whose start is still to come.

        Answers come before it, too: the worker that ran the first episode sent what they answer, and died before it
        stored anything. Its start comes back, and asks the same.
        """
        row = await self._services.instances.read(item.instance.id) if messages.used_up else None
        if row is None or row.status is not RuntimeStatus.Pending:
            for held in messages.used_up:
                self._log_dropped(item, held)
            await self._clear_away(item, messages.used_up)
            return messages
        return self._until_start(row, messages)

    def _until_start(self, row: InstanceState, messages: Sorted) -> Sorted:
        """Put back what is for the execution that a row tells of, or for whichever is current, until it has begun."""
        awaited = tuple(
            held for held in messages.used_up if held.envelope.message.target.execution_id in (None, row.execution_id)
        )
        others = tuple(held for held in messages.used_up if held not in awaited)
        if row.scheduled_start is None:
            return replace(messages, used_up=others, early=(*messages.early, *awaited))
        wait = row.scheduled_start.moment() - self._services.environment.clock.now()
        seconds = max(1, min(int(wait.total_seconds()) + 1, MAX_HIDDEN_SECONDS))
        return replace(messages, used_up=others, hidden=tuple((held, seconds) for held in awaited))

    async def _clear_away_large(self, item: WorkItem, dropped: Sequence[Held]) -> bool:
        """Do as :meth:`_clear_away`, but do not ask whether an instance was purged unless it matters to a message."""
        return any(held.blob_name is not None for held in dropped) and await self._clear_away(item, dropped)

    async def _clear_away(self, item: WorkItem, dropped: Sequence[Held]) -> bool:
        """Delete large values that were written for an instance after it was purged; return whether it was.

        Those of messages that are dropped now; and of an episode that wrote them ahead of its history. Its commit was
        refused, so its messages came back, and nobody writes the instance but us.
        """
        instance_id = item.instance.id
        if await self._services.history.execution_of(instance_id) is not None:
            return False
        if await self._services.instances.read(instance_id) is not None:
            return False
        of_messages = [held.blob_name for held in dropped if held.blob_name is not None]
        of_episodes = await self._services.large.of_episodes(instance_id)
        await self._services.large.delete_all([*of_messages, *of_episodes])
        return True

    def _rejects(self, episode: Episode) -> bool:
        """Return whether an episode is left to a worker of another version; a termination needs no code."""
        is_refused = episode.terminated is None and not self._versions.accepts(episode.started)
        return is_refused and self._versions.failure is VersionFailure.REJECT

    def _put_back_version(self, item: WorkItem, episode: Episode) -> Outcome:
        version, app_version = episode.started.version, self._versions.app_version
        kind = (episode.started.name, version)
        if kind not in self._rejected:
            self._rejected.add(kind)
            _logger.warning(
                "orchestration '%s' of version '%s' is left alone (instance '%s' and others): this app is %s and takes "
                "%s versions; see defaultVersion, versionMatchStrategy and versionFailureStrategy in host.json",
                episode.started.name,
                version or "",
                item.instance.id,
                f"version '{app_version}'" if app_version else "without a version",
                self._versions.match.value,
                extra={"event": "version_rejected", "instance_id": item.instance.id, "version": version},
            )
        return Outcome(messages=Sorted(early=tuple(item.batch.messages)))

    # ---- committing

    async def _commit(self, item: WorkItem, session: Session, result: Outcome, deletes: Nursery) -> Committed:
        """Commit what a work item came to, and what follows from answers that come at once.

        Args:
            item: which one.
            session: of its instance.
            result: what it came to.
            deletes: where messages are deleted that are used up before the end.
        """
        step, before = _Step.of(result), None
        unstored: tuple[Held, ...] = ()
        """What brought the episode before, whose history is not stored."""
        until = self._folding.end()
        while True:
            async with self._renewals.hold(tuple(item.batch.messages)):
                sent = await self._send(item, session, step, after=before)
                session.go_on(sent.checkpoint, step.episode)
                following = await self._fold(item, session, sent, until=until)
                self._note_changes(session, step, sent.checkpoint)
                if following is None:
                    await self._tell_changes(session)
                    sent = await self._store(item, session, step, sent, after=before)
            if before is not None and sent.checkpoint.ahead is not None:
                # With it was stored what the one before decided.
                item.batch.messages = [held for held in item.batch.messages if held not in unstored]
                deletes.start(self._mailbox.delete(unstored), name="delete messages")
                unstored = ()
            unstored = (*unstored, *step.used_up)
            if following is None:
                session.committed(sent.checkpoint)
                self._log_episode(item, sent.checkpoint)
                self._tell_spans(session)
                return Committed(sent.checkpoint, replace(result.messages, used_up=unstored))
            step, before = following, sent

    async def _fold(self, item: WorkItem, session: Session, sent: Sent, *, until: float) -> _Step | None:
        """Run the next episode, if answers to all that was asked for come before it would be stored.

        The episode before is in memory as if it was stored.
        """
        if not self._may_stay_warm(session, sent.checkpoint) or not self._folding.allows(sent, until=until):
            return None
        answers = await self._folding.answers(item, sent)
        arrivals = [Arrival(held.envelope, held.dequeue_count) for held in answers]
        admission = admit(session.state, arrivals, execution_id=sent.checkpoint.instance.execution_id)
        if not isinstance(admission, Run) or admission.early:
            return None
        self._inbox.take_answers(item)
        first = episodes.begin_episode(session.state, admission.accepted, now=self._now())
        try:
            episode, checkpoint = await self._run(session, first, stores_ahead=True)
        except Exception:
            # As if nobody had waited for the answers: they are looked at again, when what they answer is stored.
            await self._checkpoints.store(item.partition, session, sent)
            raise
        return _Step(episode, checkpoint, tuple(answers), first)

    async def _send(self, item: WorkItem, session: Session, step: _Step, *, after: Sent | None) -> Sent:
        """Put what an episode sends, or the failure of an orchestration whose decisions cannot be stored."""
        checkpoint = replace(step.checkpoint, taken_requests=session.remembered())
        try:
            return await self._checkpoints.send(item.partition, session, checkpoint, after=after)
        except (PayloadError, ContentRefused) as error:
            failed = self._failed(session, step, error)
            return await self._checkpoints.send(item.partition, session, failed, after=after)

    async def _store(self, item: WorkItem, session: Session, step: _Step, sent: Sent, *, after: Sent | None) -> Sent:
        """Store what an episode decided, or the failure of an orchestration whose decisions cannot be stored."""
        try:
            await self._checkpoints.store(item.partition, session, sent)
        except (PayloadError, ContentRefused) as error:
            failed = self._failed(session, step, error)
            sent = await self._checkpoints.send(item.partition, session, failed, after=after)
            await self._checkpoints.store(item.partition, session, sent)
            session.go_on(sent.checkpoint, step.episode)
        return sent

    def _failed(self, session: Session, step: _Step, error: Exception) -> Checkpoint:
        # Refused for what it holds it is refused each time: the orchestration fails, for everybody to see.
        reason = episodes.failure(step.episode.started.name, str(error))
        failed = Actions((), None, reason, step.episode.next_task_id)
        ended = episodes.finish_episode(step.episode, failed, now=self._now(), rules=self._rules)
        if step.first is not None:
            ended = episodes.storing_ahead(ended, step.first, whatever_it_sends=True)
        return replace(ended, farewell=step.checkpoint.farewell, taken_requests=session.remembered())

    def _may_stay_warm(self, session: Session, checkpoint: Checkpoint) -> bool:
        # A rewind edits rows behind the sentinel's back, and announces it by a GenericEvent or on an ended instance.
        rewound = any(isinstance(event, GenericEvent) for event in checkpoint.new_events)
        return (
            self._services.settings.warm_sessions
            # There another worker takes a partition without a word: nobody could tell that a session is out of date.
            and self._services.hub.manager is not PartitionManager.LEGACY
            and not checkpoint.withholds
            and not rewound
            and not session.state.is_terminal
        )

    def _note_changes(self, session: Session, step: _Step, checkpoint: Checkpoint) -> None:
        if self._services.environment.tell_changes is not None:
            details = session.failure_details
            session.changes += changes_in(step.episode, checkpoint.new_events, details=details)

    def _note_generation(self, session: Session, episode: Episode) -> None:
        if self._services.environment.tell_changes is not None:
            session.changes += changes_of_generation(episode)

    async def _tell_changes(self, session: Session) -> None:
        changes, session.changes = session.changes, []
        tell = self._services.environment.tell_changes
        if changes and tell is not None:
            await tell(changes)

    def _tell_spans(self, session: Session) -> None:
        # Taken in any case: the history may be one that others trace, and they must not pile up.
        spans = session.take_spans()
        tell = self._services.environment.tell_spans
        if spans and tell is not None:
            tell(spans)

    def _log_episode(self, item: WorkItem, checkpoint: Checkpoint) -> None:
        _logger.debug(
            "episode of '%s' stored: %d events, %d messages",
            item.instance.id,
            len(checkpoint.new_events),
            len(checkpoint.outbound),
            extra={
                "event": "episode_stored",
                "instance_id": item.instance.id,
                "execution_id": checkpoint.instance.execution_id,
                "partition": item.partition.queue,
                "events": len(checkpoint.new_events),
                "outbound": len(checkpoint.outbound),
            },
        )

    def _log_dropped(self, item: WorkItem, held: Held) -> None:
        event = held.envelope.message.event
        _logger.info(
            "%s for unknown instance '%s' is dropped",
            event.type_name,
            item.instance.id,
            extra={"event": "message_dropped", "instance_id": item.instance.id, "type": event.type_name},
        )


def _taking_the_place(outcome: Outcome, before: StoredHistory) -> Outcome:
    """Return what became of a batch, if it began an execution in place of a stored one."""
    if outcome.checkpoint is None or outcome.episode is None:
        return outcome
    state = RuntimeState.of(before.events)
    return replace(outcome, checkpoint=episodes.taking_the_place(outcome.checkpoint, state, outcome.episode.started))


def _sorted(messages: Sequence[Held], used_up: Iterable[int], early: Iterable[int], later: Iterable[int]) -> Sorted:
    return Sorted(pick(messages, used_up), pick(messages, early), pick(messages, later))
