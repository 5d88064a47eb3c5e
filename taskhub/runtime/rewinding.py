"""Rewinds failed instances, children first to be looked at, all of them before anything is written.

The order of the writes: tombstones everywhere, then the messages that wake the deepest failures up, then the rows. A
child that is quick would otherwise answer a parent that still counts as ended, and be ignored. Whatever this breaks off
at, the rows of those that nobody woke up still say Failed, and rewinding them goes on from there.

Source: DurableTask.AzureStorage, AzureStorageOrchestrationService.RewindTaskOrchestrationAsync.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from taskhub.codec.instance_rows import rewind_columns
from taskhub.core.rewind import plan_rewind
from taskhub.core.runtime_state import RuntimeState
from taskhub.errors import InstanceNotFound, InvalidInstanceState, RowChanged, RowNotFound
from taskhub.model.history import (
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    OrchestrationInstance,
    SubOrchestrationCompleted,
)
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.core.rewind import Child, Edit
    from taskhub.model.ids import ETag, ExecutionId, InstanceId
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.services import Services

_T = TypeVar("_T")

MAX_PARALLEL = 16


@dataclass(frozen=True, slots=True)
class _Rewound:
    """An execution to rewind."""

    instance_id: InstanceId
    execution_id: ExecutionId
    edits: tuple[Edit, ...]
    row_etag: ETag | None
    """Of its row, if that says that it failed."""


class _Prospect(enum.Enum):
    """What a parent may expect of a child."""

    ANSWER = "answer"
    """It is rewound and will answer, or its answer is sent once more."""
    NOTHING_NEW = "nothing new"
    """It runs, and will answer by itself."""
    NONE = "none"
    """It has ended without a result, or is gone: start it again."""


class Rewinding:
    """One rewind of one instance and its children.

    Args:
        services: of the hub.
        reason: for the wake-ups.
    """

    def __init__(self, services: Services, reason: str | None) -> None:
        self._services = services
        self._reason = reason
        self._seen: set[InstanceId] = set()
        self._rewound: list[_Rewound] = []
        self._messages: list[TaskMessage] = []

    async def run(self, instance_id: InstanceId) -> None:
        """Rewind an instance.

        Raises:
            InstanceNotFound: there is no such instance.
            InvalidInstanceState: it has not failed.
        """
        stored = await self._services.history.load(instance_id)
        if not await self._look(instance_id, stored):
            row = await self._services.instances.read(instance_id)
            if row is None:
                raise InstanceNotFound(f"there is no instance '{instance_id}'")
            status = row.status.name if row.status else "unknown"
            raise InvalidInstanceState(f"instance '{instance_id}' is {status}; only failed ones can be rewound")
        await self._all([lambda each=each: self._bury(each) for each in self._rewound])  # type: ignore[misc]  # binds
        await self._all([lambda each=each: self._services.messenger.send(each) for each in self._messages])  # type: ignore[misc]  # binds
        await self._all([lambda each=each: self._show(each) for each in self._rewound])  # type: ignore[misc]  # binds

    # ---- looking

    async def _look(self, instance_id: InstanceId, stored: StoredHistory) -> bool:
        """Note what is to be done with an instance and those below it; return whether it can be rewound."""
        plan = plan_rewind(stored.events)
        if plan is None or stored.execution_id is None:
            return False
        self._seen.add(instance_id)
        row = await self._services.instances.read(instance_id)
        has_failed = row is not None and row.status is RuntimeStatus.Failed
        prospects = await self._all(
            [
                lambda child=child: self._look_at_child(child, OrchestrationInstance(instance_id, stored.execution_id))  # type: ignore[misc]  # binds
                for child in plan.children
            ]
        )
        again = {
            child.request.index: child.request
            for child, prospect in zip(plan.children, prospects, strict=True)
            if prospect is _Prospect.NONE
        }
        edits = [replace(edit, entombs=edit.entombs or edit.index in again) for edit in plan.edits]
        known = {edit.index for edit in edits}
        edits = [*(request for index, request in again.items() if index not in known), *edits]
        etag = row.etag if row is not None and has_failed else None
        self._rewound.append(_Rewound(instance_id, stored.execution_id, tuple(edits), etag))
        if _Prospect.ANSWER not in prospects:
            wake = GenericEvent(timestamp=self._now(), data=self._reason)
            self._messages.append(TaskMessage(wake, target=OrchestrationInstance(instance_id, None)))
        return True

    async def _look_at_child(self, child: Child, parent: OrchestrationInstance) -> _Prospect:
        if child.instance_id in self._seen:
            return _Prospect.ANSWER
        stored = await self._services.history.load(child.instance_id)
        if not _belongs_to(stored, parent, child):
            # Its id is somebody else's by now. What lives is left alone.
            return _Prospect.NONE if RuntimeState.of(stored.events).is_terminal else _Prospect.NOTHING_NEW
        end = next((event for event in reversed(stored.events) if isinstance(event, ExecutionCompleted)), None)
        if end is not None and end.status is RuntimeStatus.Completed:
            answer = SubOrchestrationCompleted(
                timestamp=self._now(), task_scheduled_id=child.task_id, result=end.result
            )
            self._messages.append(TaskMessage(answer, target=parent))
            return _Prospect.ANSWER
        if await self._look(child.instance_id, stored):
            return _Prospect.ANSWER
        if end is not None or (not stored.events and child.has_failed):
            return _Prospect.NONE
        return _Prospect.NOTHING_NEW

    # ---- writing

    async def _bury(self, rewound: _Rewound) -> None:
        await self._services.history.rewind(rewound.instance_id, rewound.execution_id, rewound.edits)

    async def _show(self, rewound: _Rewound) -> None:
        """Let the row say that the instance lives, unless a worker was quicker to say more."""
        if rewound.row_etag is None:
            return
        with contextlib.suppress(RowChanged, RowNotFound):
            await self._services.instances.merge(
                rewound.instance_id, rewind_columns(self._now()), etag=rewound.row_etag
            )

    async def _all(self, calls: Sequence[Callable[[], Awaitable[_T]]]) -> list[_T]:
        return await run_all(self._services.environment.spawn, calls, limit=MAX_PARALLEL, name="rewind")

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())


def _belongs_to(stored: StoredHistory, parent: OrchestrationInstance, child: Child) -> bool:
    started = next((event for event in stored.events if isinstance(event, ExecutionStarted)), None)
    if started is None:
        return True
    return (
        started.parent is not None
        and started.parent.instance == parent
        and started.parent.task_schedule_id == child.task_id
    )
