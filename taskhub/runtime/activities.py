"""Activities: work items that all workers share, taken from one queue and run to their end.

The answer is put on the control queue of the waiting orchestration before the work item is deleted: a crash in
between runs the activity again, and the second answer is recognised. Where the orchestration is in memory here it gets
the answer directly, and the work item stands for it in the queue until the answer is stored (8.4 C).

Source: DurableTask.AzureStorage, ActivitySession and CompleteTaskActivityWorkItemAsync.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.core import activity
from taskhub.core.tracing import activity_context, activity_span
from taskhub.errors import ContentRefused, MalformedMessage, PayloadError, QueueNotFound, StorageError
from taskhub.model.history import OrchestrationInstance, TaskScheduled
from taskhub.model.ids import Utc
from taskhub.runtime.application import ActivityCall, ActivityFailed, ActivitySucceeded
from taskhub.runtime.poller import Poller
from taskhub.storage.port import MAX_MESSAGES_PER_GET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.model.ids import InstanceId
    from taskhub.model.messages import TaskMessage
    from taskhub.runtime.application import Application
    from taskhub.runtime.dispatcher import Dispatcher, Slots
    from taskhub.runtime.inbox import Inbox
    from taskhub.runtime.mailbox import Held, Mailbox
    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.renewals import Renewals
    from taskhub.runtime.services import Services

MAX_ANSWER_ATTEMPTS = 8
"""Puts of an answer, over about half a minute; then the work item is put back and the activity runs again."""

MAX_ANSWERED = 10_000
"""Activities that are remembered, to know second copies of their work items."""

SMOOTHING = 0.3
"""How much the last run counts in what an activity takes."""

_Question = tuple[OrchestrationInstance, int, Utc]

_logger = logging.getLogger("taskhub.activities")


@dataclass(frozen=True, slots=True)
class ActivityItem:
    """One activity to run."""

    held: Held
    task: TaskScheduled

    @property
    def question(self) -> _Question:
        """What it asks for; the same for second copies of a message, another one when it is asked anew."""
        return self.held.envelope.message.target, self.task.event_id, self.task.timestamp

    @property
    def answer_id(self) -> str | None:
        """What its answer tells of the question; ``None`` where the work item does not tell."""
        told = self.held.envelope.activity_id
        return told if activity.is_question_id(told) else None


class Activities:
    """The four verbs for activities; see :class:`taskhub.runtime.dispatcher.Work`."""

    def __init__(
        self,
        services: Services,
        application: Application,
        inbox: Inbox,
        mailbox: Mailbox,
        renewals: Renewals,
        wakeups: Wakeups,
    ) -> None:
        self._services = services
        self._application = application
        self._inbox = inbox
        self._mailbox = mailbox
        self._renewals = renewals
        self._queue = services.names.work_item_queue
        self._poller = Poller.of(services.environment, services.settings)
        self._is_stopped = False
        self._in_progress: set[_Question] = set()
        self._running: Counter[InstanceId] = Counter()
        self._seconds: dict[str, float] = {}
        """How long an activity took lately, by its name."""
        self._answered: dict[_Question, None] = {}
        """The last ones, to know second copies of them."""
        self._fence_margin = timedelta(seconds=services.settings.fence_margin_seconds)
        wakeups.register(self._queue, self._poller)

    async def fetch(self, slots: Slots) -> Sequence[ActivityItem]:
        """Take work items, no more than can start at once: what waits in memory starves other workers."""
        while True:
            await self._poller.wait()
            if self._is_stopped:
                return ()
            limit = min(slots.free, MAX_MESSAGES_PER_GET)
            if not limit:
                self._poller.wake()  # look as soon as one is free
                return ()
            # Until they are read nobody else may take the slots.
            reserved = slots.reserve(limit)
            try:
                items = await self._read(reserved)
            finally:
                slots.release(reserved)
            if items:
                return items

    def item(self, held: Held) -> ActivityItem | None:
        """Return the work item of a message; ``None`` when its activity is running or has run."""
        event = held.envelope.message.event
        if not isinstance(event, TaskScheduled):
            raise TypeError(f"{event.type_name} is no work item")
        item = ActivityItem(held, event)
        if item.question in self._in_progress or item.question in self._answered:
            return None
        self._in_progress.add(item.question)
        return item

    def running(self, instance_id: InstanceId) -> int:
        """Return how many activities of an instance run here now."""
        return self._running[instance_id]

    def are_quick(self, names: Iterable[str], seconds: float) -> bool:
        """Return whether activities have lately taken less than ``seconds``; none that has not run here has.

        One that kills its process is not known to the next one: it is stored what was asked for before that runs it.
        """
        return all(self._seconds.get(name, seconds) < seconds for name in names)

    def stop(self) -> None:
        """Fetch no more."""
        self._is_stopped = True
        self._poller.wake()

    async def process(self, item: ActivityItem) -> ActivitySucceeded | ActivityFailed:
        """Run the activity; its work item stays hidden meanwhile."""
        target = item.held.envelope.message.target
        self._running[target.instance_id] += 1
        try:
            return await self._run(item, target)
        finally:
            self._running[target.instance_id] -= 1
            if not self._running[target.instance_id]:
                del self._running[target.instance_id]

    async def _run(self, item: ActivityItem, target: OrchestrationInstance) -> ActivitySucceeded | ActivityFailed:
        environment = self._services.environment
        tell = environment.tell_spans
        span = None if tell is None else activity_context(item.task, attempt=item.held.dequeue_count)
        call = ActivityCall(
            name=item.task.name,
            input=item.task.input,
            instance_id=target.instance_id,
            execution_id=target.execution_id,
            task_id=item.task.event_id,
            attempt=item.held.dequeue_count,
            trace=None if span is None else span.carried(),
        )
        clock = environment.clock
        began, began_at = clock.monotonic(), clock.now()
        async with self._renewals.hold([item.held]):
            result = await self._application.run_activity(call)
        took, before = clock.monotonic() - began, self._seconds.get(item.task.name)
        self._seconds[item.task.name] = took if before is None else before + (took - before) * SMOOTHING
        if tell is not None and span is not None:
            error = result.reason if isinstance(result, ActivityFailed) else None
            start, end = Utc.of(began_at), Utc.of(clock.now())
            tell([activity_span(item.task, target, span, start=start, end=end, error=error)])
        return result

    async def complete(self, item: ActivityItem, result: ActivitySucceeded | ActivityFailed) -> None:
        """Hand the answer over to an orchestration in memory; else put it, then delete the work item."""
        if self._answers_directly(item, result):
            return
        await self._answer_anyhow(item, result)
        self._remember_answered(item.question)
        await self._mailbox.delete([item.held])

    def _answers_directly(self, item: ActivityItem, result: ActivitySucceeded | ActivityFailed) -> bool:
        if not self._services.settings.direct_answers:
            return False
        work_item = item.held.envelope
        partition = self._inbox.awaits(work_item.message.target)
        now = self._services.environment.clock.now()
        if partition is None or not partition.is_ours(now, margin=self._fence_margin):
            return False
        try:
            packed = self._services.messenger.pack(
                self._message(item, result),
                sender=work_item.message.target,
                episode=activity.answer_episode(work_item),
                activity_id=item.answer_id,
            )
        except PayloadError:
            return False  # what cannot be sent is answered as a failure
        item.held.answer_with(packed.envelope, lambda is_done: self._settle(item.question, is_done))
        self._inbox.deliver(partition, item.held)
        return True

    def _settle(self, question: _Question, is_done: bool) -> None:
        """Take note of what became of an answer that was handed over."""
        if is_done:
            self._remember_answered(question)
        else:
            self._in_progress.discard(question)

    async def _answer_anyhow(self, item: ActivityItem, result: ActivitySucceeded | ActivityFailed) -> None:
        try:
            await self._answer(item, result)
        except (PayloadError, ContentRefused) as error:
            await self._answer(item, ActivityFailed(f"Activity function '{item.task.name}' failed: {error}"))

    async def abandon(self, item: ActivityItem, error: Exception) -> None:
        """Put the work item back for a while."""
        self._in_progress.discard(item.question)
        await self._mailbox.abandon([item.held], error=error)

    def describe(self, item: ActivityItem) -> dict[str, object]:
        """Return fields for the log."""
        target = item.held.envelope.message.target
        return {"instance_id": target.instance_id, "activity": item.task.name, "task_id": item.task.event_id}

    async def _read(self, limit: int) -> list[ActivityItem]:
        try:
            messages, count = await self._mailbox.read(
                self._queue, limit=limit, hide_seconds=self._services.settings.work_item_visibility_seconds
            )
        except StorageError as error:
            if isinstance(error, QueueNotFound):
                self._services.hub.forget()
            self._services.health.failed(error)
            self._poller.failed(pause_seconds=self._services.health.asked_pause(error))
            return []
        self._poller.found(count, limit=limit)
        items: list[ActivityItem] = []
        for held in messages:
            event = held.envelope.message.event
            if isinstance(event, TaskScheduled):
                item = self.item(held)
                if item is None:
                    # Put twice, because the reply to the first put was lost. Should the first copy come to nothing, it
                    # is still there.
                    await self._mailbox.delete([held])
                else:
                    items.append(item)
            else:
                _logger.error(
                    "%s in the work-item queue is no work item and is put back",
                    event.type_name,
                    extra={"event": "misplaced_message", "message_id": held.id},
                )
                misplaced = MalformedMessage(f"{event.type_name} in the work-item queue is no work item")
                await self._mailbox.abandon([held], error=misplaced)
        return items

    def _remember_answered(self, question: _Question) -> None:
        self._in_progress.discard(question)
        while len(self._answered) >= MAX_ANSWERED:
            self._answered.pop(next(iter(self._answered)))
        self._answered[question] = None

    async def _answer(self, item: ActivityItem, result: ActivitySucceeded | ActivityFailed) -> None:
        message = self._message(item, result)
        work_item = item.held.envelope
        attempts = 0

        def give_up() -> bool:
            nonlocal attempts
            attempts += 1
            return attempts >= MAX_ANSWER_ATTEMPTS

        async with self._renewals.hold([item.held]):
            await self._services.health.retry(
                lambda: self._services.messenger.send(
                    message,
                    sender=work_item.message.target,
                    episode=activity.answer_episode(work_item),
                    activity_id=item.answer_id,
                ),
                give_up=give_up,
            )

    def _message(self, item: ActivityItem, result: ActivitySucceeded | ActivityFailed) -> TaskMessage:
        now = Utc.of(self._services.environment.clock.now())
        work_item = item.held.envelope
        if isinstance(result, ActivitySucceeded):
            return activity.succeeded(work_item, item.task, result.result, now=now)
        return activity.failed(work_item, item.task, result.reason, result.details, result.failure, now=now)


class ActivityRunner:
    """Runs work items that were not read from the queue; see :class:`taskhub.runtime.local_messages.Runner`."""

    def __init__(
        self,
        activities: Activities,
        dispatcher: Dispatcher[ActivityItem, ActivitySucceeded | ActivityFailed],
    ) -> None:
        self._activities = activities
        self._dispatcher = dispatcher

    def reserve(self, wanted: int) -> int:
        """Keep slots; return how many."""
        return self._dispatcher.reserve(wanted)

    def release(self, count: int = 1) -> None:
        """Give back slots that were reserved."""
        self._dispatcher.release(count)

    def hand_over(self, held: Held) -> None:
        """Run the activity of a work item, in a slot that was reserved."""
        item = self._activities.item(held)
        if item is None:
            self._dispatcher.release()  # it runs already: somebody made the work item visible, and we have read it
        else:
            self._dispatcher.start(item)
