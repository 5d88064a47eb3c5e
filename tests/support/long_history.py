"""An instance with a long history, written straight into a hub: it has called activities one by one, and waits."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from taskhub.codec.instance_rows import repair_columns
from taskhub.model.history import (
    ExecutionStarted,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
)
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.messages import TaskMessage
from taskhub.runtime.environment import Environment
from taskhub.runtime.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskhub.model.history import HistoryEvent
    from taskhub.settings import TaskHubSettings
    from taskhub.storage.port import Storage

EXECUTION = ExecutionId("0123456789abcdef0123456789abcdef")
BEGAN = datetime(2026, 1, 1, tzinfo=timezone.utc)
EVENTS_PER_STEP = 4


def steps(context: Any) -> Any:
    """Call as many activities as the input says, one after the other; return the sum of their results."""
    total = 0
    for number in range(int(context.get_input())):
        total += yield context.call_activity("Echo", number)
    return total


def events_of(instance_id: InstanceId, count: int) -> Iterator[HistoryEvent]:
    """Yield the history of an instance that waits for its last activity: ``EVENTS_PER_STEP * count`` events."""
    instance = OrchestrationInstance(instance_id, EXECUTION)
    for number in range(count):
        now = Utc.of(BEGAN + timedelta(milliseconds=number))
        yield OrchestratorStarted(timestamp=now)
        if number == 0:
            yield ExecutionStarted(
                timestamp=now, instance=instance, name="Steps", input=str(count), is_played=True, generation=0
            )
        else:
            yield TaskCompleted(timestamp=now, task_scheduled_id=number - 1, result=str(number - 1), is_played=True)
        yield TaskScheduled(event_id=number, timestamp=now, name="Echo", version="")
        yield OrchestratorCompleted(timestamp=now)


async def write_history(storage: Storage, settings: TaskHubSettings, instance_id: InstanceId, count: int) -> None:
    """Write an instance that waits for the last of ``count`` activities, as so many episodes would have left it."""
    services = Services.of(storage, settings, Environment(), wake=lambda queue, after: None)
    await services.hub.create()
    instance = OrchestrationInstance(instance_id, EXECUTION)
    events = tuple(events_of(instance_id, count))
    etag = None
    for start in range(0, len(events), 9_900):
        rows = services.history.encode(instance, events[start : start + 9_900], first_index=start)
        etag = await services.history.commit(instance, rows, etag=etag, give_up=lambda: False)
    columns = repair_columns(
        events[:2], hub=services.names.hub, execution_id=EXECUTION, row_exists=False, has_input=True
    )
    await services.instances.merge(instance_id, columns, etag=None, is_new=True)


async def answer_last(storage: Storage, settings: TaskHubSettings, instance_id: InstanceId, count: int) -> None:
    """Put the answer that the instance waits for."""
    services = Services.of(storage, settings, Environment(), wake=lambda queue, after: None)
    await services.hub.create()
    event = TaskCompleted(
        timestamp=Utc.of(datetime.now(timezone.utc)), task_scheduled_id=count - 1, result=str(count - 1)
    )
    await services.messenger.send(TaskMessage(event, target=OrchestrationInstance(instance_id, EXECUTION)))
