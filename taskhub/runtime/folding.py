"""Answers that come at once, and are stored together with what they answer (8.4 C, the folded form).

::

    put the work item ──► run it here ──► answered? ──► go on with the code ──► store both episodes ──► put what follows
                                              │ not soon
                                              └──► store the episode alone, as ever

The order of the writes stays: what an episode was told is stored before what follows from it is put. What is left out
is the transaction in which an episode would be stored that waits for its answers, and the row that would say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskhub.model.history import TaskScheduled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.model.ids import InstanceId
    from taskhub.runtime.checkpoints import Sent
    from taskhub.runtime.inbox import Inbox, WorkItem
    from taskhub.runtime.mailbox import Held
    from taskhub.runtime.services import Services

MAX_SECONDS = 1.0
"""How long a work item goes on so. Then its row is written, and others get their turn."""


class ActivitiesHere(Protocol):
    """The activities of this worker."""

    def running(self, instance_id: InstanceId) -> int:
        """Return how many activities of an instance run here now."""

    def are_quick(self, names: Iterable[str], seconds: float) -> bool:
        """Return whether activities have lately taken less than ``seconds``; none that has not run here has."""


class Folding:
    """Waits for answers before an episode is stored, where that is worth while.

    Args:
        services: of the hub.
        inbox: where the answers come.
        activities: of this worker.
    """

    def __init__(self, services: Services, inbox: Inbox, activities: ActivitiesHere) -> None:
        settings = services.settings
        self._clock = services.environment.clock
        self._inbox = inbox
        self._activities = activities
        self._seconds = settings.fold_seconds if settings.direct_answers else 0.0

    def end(self) -> float:
        """Return until when a work item that begins now may go on so, on the monotonic clock."""
        return self._clock.monotonic() + MAX_SECONDS

    def allows(self, sent: Sent, *, until: float) -> bool:
        """Return whether all that an episode asks for are quick activities which run here."""
        asked = [outbound.outgoing.message.event for outbound in sent.checkpoint.outbound]
        names = [event.name for event in asked if isinstance(event, TaskScheduled)]
        return (
            self._seconds > 0
            and self._clock.monotonic() < until
            and 0 < len(names) == len(asked) == sent.kept.count
            and not sent.checkpoint.replaces
            and self._activities.are_quick(names, self._seconds)
        )

    async def answers(self, item: WorkItem, sent: Sent) -> Sequence[Held]:
        """Run what was asked for; return the answers, none unless all come in time and nothing else does."""
        await sent.kept.hand_over()
        ends = self._clock.monotonic() + self._seconds
        while True:
            answers = self._inbox.answers(item)
            if answers is None:
                return ()
            if len(answers) >= len(sent.checkpoint.outbound):
                return answers
            seconds = ends - self._clock.monotonic()
            if seconds <= 0:
                return ()
            await item.instance.arrived.wait(seconds)
