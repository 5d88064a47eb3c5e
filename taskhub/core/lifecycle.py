"""Which changes in the life of an instance follow from an episode.

Source: Durable Task extension, LifeCycleNotificationHelper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.model.history import ExecutionCompleted, ExecutionStarted, HistoryEvent
from taskhub.model.instance import RuntimeStatus
from taskhub.model.lifecycle import LifecycleChange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskhub.core.episode import Episode


def changes_in(episode: Episode, events: Iterable[HistoryEvent], *, details: str = "") -> list[LifecycleChange]:
    """Return what new events say of an execution's life.

    Args:
        episode: that brought them.
        events: those of the episode, and what it decided.
        details: of the failure that it ends with, if it does.
    """
    changes = []
    name, instance_id = episode.started.name, episode.started.instance.instance_id
    for event in events:
        if isinstance(event, ExecutionStarted):
            changes.append(LifecycleChange(name, instance_id, RuntimeStatus.Running, episode.clock))
        elif isinstance(event, ExecutionCompleted):
            reason = ""
            if event.status is RuntimeStatus.Failed:
                reason = details or event.result or ""
            elif event.status is RuntimeStatus.Terminated:
                reason = event.result or ""
            changes.append(LifecycleChange(name, instance_id, event.status, event.timestamp, reason))
    return changes


def changes_of_generation(episode: Episode) -> list[LifecycleChange]:
    """Return what the last episode of an execution that continues as new says: that it completed."""
    started = episode.started
    ended = LifecycleChange(started.name, started.instance.instance_id, RuntimeStatus.Completed, episode.clock)
    return [*changes_in(episode, episode.new_events), ended]
