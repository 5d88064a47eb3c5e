"""The live shell: an execution kept in memory, fed with new history events, answering with decisions.

This module is all of the SDK that a task hub may import. It knows nothing of storage, clocks or threads: times come
with the events, and a call returns when user code has reached its next wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.decisions import (
    CreateTimer,
    Decisions,
    Operation,
    Outcome,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "CreateTimer",
    "Decisions",
    "Operation",
    "OrchestrationSession",
    "Outcome",
    "Raised",
    "Restarted",
    "Returned",
    "ScheduleActivity",
    "SendEvent",
    "StartSubOrchestration",
]


class OrchestrationSession:
    """One execution of one orchestrator. Not thread-safe; successive calls may come from different threads.

    Args:
        orchestrator: the registered callable (what ``Orchestrator.create`` or ``@orchestration_trigger`` made, or the
            bare user function).
        instance_id: id of the instance.
        parent_instance_id: id of the parent of a sub-orchestration.
        options: limits of the host, with the reference's defaults.
    """

    def __init__(
        self,
        orchestrator: Callable[..., Any],
        *,
        instance_id: str,
        parent_instance_id: str | None = None,
        long_timer_limit_seconds: float = 6 * 24 * 3600,
        long_timer_leg_seconds: float = 3 * 24 * 3600,
    ) -> None:
        raise NotImplementedError

    def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int = 0) -> Decisions:
        """Feed the next events of the history and run user code to its next wait.

        Every event of the history is fed exactly once and in order, over all calls together: the events of earlier
        episodes with their scheduling events (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent)
        and OrchestratorCompleted, then OrchestratorStarted and the events that arrived. A warm session is fed what
        its own last decisions became when they were committed, then the new episode. A cold one is fed everything.

        Args:
            events: raw events: the reference's property names, ``EventType`` and ``OrchestrationStatus`` as numbers,
                times as text (``extension.md`` 1.3).
            replayed: how many of ``events``, from the first, belong to episodes that ended before; user code that
                runs for them sees ``is_replaying``.

        Returns:
            The new decisions. A scheduling event in the history that the code did not ask for, or asked for with
            another kind or name, is a :class:`Raised` whose text names both sides. Exceptions of user code are
            :class:`Raised` too; after an outcome, further events change nothing.

        Raises:
            BaseException: only what is no ``Exception`` (KeyboardInterrupt, SystemExit).
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the generator; its ``finally`` blocks run, what they yield or raise is ignored."""
        raise NotImplementedError
