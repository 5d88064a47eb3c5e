"""Orchestrations: the four verbs for the messages of one instance.

Fetching takes an instance with messages from the inbox. Processing brings its session into memory, lets in the
messages that are due, and runs the code to its next wait, through as many generations as it continues as new.
Completing commits the checkpoint and deletes the messages.

Source: DurableTask.AzureStorage, AzureStorageOrchestrationService; DurableTask.Core, TaskOrchestrationDispatcher.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.core import episode as episodes
from taskhub.core.admission import (
    Arrival,
    Finished,
    NothingNew,
    Run,
    StartVerdict,
    TerminatedUnstarted,
    Unknown,
    admit,
    judge_start,
)
from taskhub.core.operations import EpisodeRules
from taskhub.core.timers import MAX_HIDDEN_SECONDS
from taskhub.core.versioning import VersionRule
from taskhub.errors import LeaseLost, PayloadError
from taskhub.model.actions import Actions
from taskhub.model.history import ExecutionStarted, GenericEvent
from taskhub.model.ids import ExecutionId, Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionManager
from taskhub.model.versions import VersionFailure
from taskhub.runtime.sessions import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.core.admission import Admission
    from taskhub.core.episode import Checkpoint, Episode
    from taskhub.runtime.application import Application
    from taskhub.runtime.checkpoints import Checkpoints
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
    used_up: tuple[Held, ...] = ()
    """Delete them, once the checkpoint is committed."""
    early: tuple[Held, ...] = ()
    """Put them back for a while."""
    later: tuple[Held, ...] = ()
    """Look at them again, for whichever execution is current."""
    hidden: tuple[tuple[Held, int], ...] = ()
    """Put them back for so many seconds."""


class Orchestrations:
    """See the module, and :class:`taskhub.runtime.dispatcher.Work`."""

    def __init__(
        self,
        services: Services,
        application: Application,
        inbox: Inbox,
        mailbox: Mailbox,
        renewals: Renewals,
        checkpoints: Checkpoints,
    ) -> None:
        settings = services.settings
        self._services = services
        self._application = application
        self._inbox = inbox
        self._mailbox = mailbox
        self._renewals = renewals
        self._checkpoints = checkpoints
        self._has_met_entity = False
        self._fence_margin = timedelta(seconds=settings.fence_margin_seconds)
        self._rules = EpisodeRules(
            default_version=settings.default_version,
            store_inputs=settings.store_inputs,
            max_custom_status_kilobytes=settings.max_custom_status_kilobytes,
        )
        self._versions = VersionRule(settings.default_version, settings.version_match, settings.version_failure)
        self._rejected: set[tuple[str, str | None]] = set()

    # ---- the four verbs

    async def fetch(self, limit: int) -> Sequence[WorkItem]:
        """Take instances that have messages."""
        return await self._inbox.take(limit)

    def stop(self) -> None:
        """Fetch no more than what is ready."""
        self._inbox.stop()

    async def process(self, item: WorkItem) -> Outcome:
        """Run an episode, if the batch holds something new for the code."""
        async with self._renewals.hold(item.batch.messages):
            if item.instance.id.startswith("@"):
                return self._put_back_entity(item)
            start = self._top_level_start(item)
            session, stored = await self._session(item)
            if start is not None and session.state.started is None:
                verdict = await self._judge_start(item, start, session)
                if verdict is not StartVerdict.PROCESS:
                    return self._without_start(item, start, verdict)
            arrivals = [Arrival(held.envelope, held.dequeue_count) for held in item.batch.messages]
            admission = admit(session.state, arrivals, execution_id=item.batch.execution_id)
            return await self._act(item, session, stored, admission)

    async def complete(self, item: WorkItem, result: Outcome) -> None:
        """Commit the checkpoint; let go of the instance, then of its messages."""
        session, checkpoint = result.session, result.checkpoint
        if session is not None and checkpoint is not None and result.episode is not None:
            async with self._renewals.hold(item.batch.messages):
                checkpoint = await self._commit(item, session, result.episode, checkpoint)
            session.committed(checkpoint, result.episode)
            self._log_episode(item, checkpoint)
            if not self._may_stay_warm(session, checkpoint):
                session = None
        # From here on nothing is lost whatever happens. The next episode of the instance need not wait for the rest.
        self._inbox.rest(item, session, later=result.later)
        await self._mailbox.delete(result.used_up)
        await self._mailbox.abandon(result.early)
        for held, seconds in result.hidden:
            await self._mailbox.hide(held, seconds)

    async def abandon(self, item: WorkItem, error: Exception) -> None:
        """Put the batch back: at once for the partition's next owner, else for a while."""
        self._inbox.rest(item, None)
        if isinstance(error, LeaseLost):
            await self._mailbox.give_back(item.batch.messages)
        else:
            await self._mailbox.abandon(item.batch.messages)

    def describe(self, item: WorkItem) -> dict[str, object]:
        """Return fields for the log."""
        return {"instance_id": item.instance.id, "messages": len(item.batch.messages)}

    # ---- bringing the execution into memory

    async def _session(self, item: WorkItem) -> tuple[Session, StoredHistory | None]:
        """Return the instance's session; and the history that it was loaded from, if it was not warm."""
        warm = item.instance.session
        wanted = item.batch.execution_id
        if warm is not None and wanted in (None, warm.state.execution_id):
            return warm, None
        stored = await self._services.health.retry(
            lambda: self._services.history.load(item.instance.id, wanted),
            give_up=lambda: (
                not item.partition.is_ours(self._services.environment.clock.now(), margin=self._fence_margin)
            ),
        )
        # The instance holds it from now on, so that it is closed whatever happens.
        if warm is not None:
            warm.close()
        item.instance.session = Session(stored)
        return item.instance.session, stored

    def _top_level_start(self, item: WorkItem) -> ExecutionStarted | None:
        for held in item.batch.messages:
            event = held.envelope.message.event
            if isinstance(event, ExecutionStarted) and event.parent is None:
                return event
        return None

    async def _judge_start(self, item: WorkItem, start: ExecutionStarted, session: Session) -> StartVerdict:
        """Compare a start with its row; wait a moment for a row that is not there yet."""
        held = item.batch.messages[0]
        for pause in (*ROW_WAITS_SECONDS, None):
            row = await self._services.instances.read(item.instance.id)
            verdict = judge_start(start, row, dequeue_count=held.dequeue_count, taken_at=Utc.of(held.taken_at))
            if verdict is not StartVerdict.WAIT or pause is None:
                break
            await self._services.environment.clock.sleep(pause)
        if row is not None and verdict is StartVerdict.PROCESS:
            session.row_etag = row.etag
        return verdict

    def _without_start(self, item: WorkItem, start: ExecutionStarted, verdict: StartVerdict) -> Outcome:
        messages = item.batch.messages
        if verdict is StartVerdict.WAIT:
            return Outcome(early=tuple(messages))
        starts = tuple(held for held in messages if held.envelope.message.event is start)
        return Outcome(used_up=starts, later=tuple(held for held in messages if held not in starts))

    # ---- acting on what was let in

    async def _act(
        self, item: WorkItem, session: Session, stored: StoredHistory | None, admission: Admission
    ) -> Outcome:
        messages = item.batch.messages
        early = _pick(messages, admission.early)
        match admission:
            case Run(accepted=accepted):
                episode = episodes.begin_episode(session.state, accepted, now=self._now())
                if self._rejects(episode):
                    return self._put_back_version(item, episode)
                episode, checkpoint = await self._run(session, episode)
                used_up = _all_but(messages, admission.early)
                return Outcome(session, episode, checkpoint, used_up=used_up, early=early)
            case NothingNew(refresh_row=refresh_row):
                if refresh_row and stored is not None:
                    await self._checkpoints.repair_row(item.partition, item.instance.id, stored)
                keep = session if session.state.started and not session.state.is_terminal else None
                return Outcome(keep, used_up=_all_but(messages, admission.early), early=early)
            case Finished(used_up=used_up, later=later):
                if stored is not None:
                    await self._checkpoints.repair_row(item.partition, item.instance.id, stored)
                return Outcome(used_up=_pick(messages, used_up), early=early, later=_pick(messages, later))
            case TerminatedUnstarted(event=event):
                await self._services.instances.terminate_unstarted(item.instance.id, event)
                return Outcome(used_up=_all_but(messages, admission.early), early=early)
            case Unknown(used_up=used_up, later=later):
                return await self._unknown(item, _pick(messages, used_up), _pick(messages, later), early)

    async def _run(self, session: Session, episode: Episode) -> tuple[Episode, Checkpoint]:
        """Run the code through an episode, and through the generations that begin in it."""
        if episode.terminated is not None:
            return episode, episodes.terminate(episode, now=self._now())
        if not self._versions.accepts(episode.started):
            return episode, episodes.refuse_version(episode, now=self._now())
        while True:
            actions = await session.advance(self._application, episode)
            actions = episodes.checked(episode, actions, self._rules)
            if not episodes.continues_as_new(episode, actions):
                return episode, episodes.finish_episode(episode, actions, now=self._now(), rules=self._rules)
            execution_id = ExecutionId(self._services.environment.new_guid().hex)
            episode = episodes.next_generation(
                episode, actions, execution_id=execution_id, now=self._now(), rules=self._rules
            )
            session.begin_again()

    async def _unknown(
        self, item: WorkItem, used_up: tuple[Held, ...], later: tuple[Held, ...], early: tuple[Held, ...]
    ) -> Outcome:
        """Drop messages for an instance that never was, but not those for one whose start is still to come."""
        unnamed = [held for held in used_up if held.envelope.message.target.execution_id is None]
        row = await self._services.instances.read(item.instance.id) if unnamed else None
        if row is None or row.status is not RuntimeStatus.Pending:
            for held in used_up:
                self._log_dropped(item, held)
            return Outcome(used_up=used_up, later=later, early=early)
        if row.scheduled_start is None:
            return Outcome(
                used_up=tuple(held for held in used_up if held not in unnamed), later=later, early=(*early, *unnamed)
            )
        wait = row.scheduled_start.moment() - self._services.environment.clock.now()
        seconds = max(1, min(int(wait.total_seconds()) + 1, MAX_HIDDEN_SECONDS))
        return Outcome(
            used_up=tuple(held for held in used_up if held not in unnamed),
            later=later,
            early=early,
            hidden=tuple((held, seconds) for held in unnamed),
        )

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
        return Outcome(early=tuple(item.batch.messages))

    def _put_back_entity(self, item: WorkItem) -> Outcome:
        # Nothing here runs entities yet. A .NET worker on the same hub may; dropping would lose its signals.
        if not self._has_met_entity:
            self._has_met_entity = True
            _logger.warning(
                "messages for entities ('%s' and others) are put back: this worker runs no entities",
                item.instance.id,
                extra={"event": "entity_put_back", "instance_id": item.instance.id},
            )
        return Outcome(early=tuple(item.batch.messages))

    # ---- committing

    async def _commit(self, item: WorkItem, session: Session, episode: Episode, checkpoint: Checkpoint) -> Checkpoint:
        """Commit a checkpoint, or the failure of an orchestration whose decisions cannot be stored."""
        try:
            await self._checkpoints.commit(item.partition, session, checkpoint)
        except PayloadError as error:
            reason = episodes.failure(episode.started.name, str(error))
            failed = Actions((), None, reason, episode.next_task_id)
            checkpoint = episodes.finish_episode(episode, failed, now=self._now(), rules=self._rules)
            await self._checkpoints.commit(item.partition, session, checkpoint)
        return checkpoint

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

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())

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


def _pick(messages: Sequence[Held], indices: Iterable[int]) -> tuple[Held, ...]:
    return tuple(messages[index] for index in indices)


def _all_but(messages: Sequence[Held], indices: Sequence[int]) -> tuple[Held, ...]:
    left_out = set(indices)
    return tuple(held for index, held in enumerate(messages) if index not in left_out)
