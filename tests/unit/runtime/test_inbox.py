"""Batches of one instance: what is put off, and what comes meanwhile."""

from datetime import datetime, timezone

from taskhub.model.history import OrchestrationInstance, TaskCompleted
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.messages import Envelope, TaskMessage
from taskhub.runtime.inbox import Inbox
from taskhub.runtime.mailbox import Held
from taskhub.runtime.ownership import Partition

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
X = InstanceId("x")


def held(name, execution_id):
    """Return an answer for an execution, or for whichever is current."""
    answer = TaskCompleted(timestamp=Utc.of(NOW), task_scheduled_id=0, result="1")
    target = OrchestrationInstance(X, None if execution_id is None else ExecutionId(execution_id))
    return Held("queue", name, "receipt", Envelope(TaskMessage(answer, target), name, 1), 1, NOW, NOW, 60)


async def test_what_is_put_off_is_not_joined_by_what_is_for_another_execution():
    """Seed 7201353: it was, and went with it, since that execution was over: an answer was lost."""
    inbox, partition = Inbox(max_warm_events=100, max_warm_bytes=10_000), Partition("queue", NOW)
    seen, put_off, anybodys = held("seen", "current"), held("put off", "current"), held("anybody's", None)
    for each in (seen, put_off, anybodys):
        inbox.deliver(partition, each)
    [item] = await inbox.take(1)
    assert item.batch.messages == [seen, put_off, anybodys]

    inbox.rest(item, None, later=[anybodys, put_off])
    inbox.deliver(partition, held("old", "over"))
    inbox.deliver(partition, held("new", "current"))

    batches = []
    while len(batches) < 2:
        [item] = await inbox.take(1)
        batches.append((item.batch.execution_id, [each.id for each in item.batch.messages]))
        inbox.rest(item, None)
    assert batches == [("current", ["anybody's", "put off", "new"]), ("over", ["old"])]


async def test_what_is_put_off_and_for_whichever_execution_is_current_stays_so():
    inbox, partition = Inbox(max_warm_events=100, max_warm_bytes=10_000), Partition("queue", NOW)
    inbox.deliver(partition, held("named", "over"))
    inbox.deliver(partition, held("anybody's", None))
    [item] = await inbox.take(1)

    inbox.rest(item, None, later=item.batch.messages[1:])

    [item] = await inbox.take(1)
    assert (item.batch.execution_id, [each.id for each in item.batch.messages]) == (None, ["anybody's"])
