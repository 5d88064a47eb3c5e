"""What is said of requests to entities, by what the picture of a hub shows."""

import pytest

from taskhub.core.diagnosis import diagnose
from taskhub.core.entity_facts import EntityFacts, OpenRequest
from taskhub.core.entity_memory import RequestMemory
from taskhub.core.picture import ExecutionFacts, MessageFacts, Picture, RowFacts
from taskhub.model.diagnosis import PutGrant, PutRequest
from taskhub.model.entities import EntityId, Request
from taskhub.model.history import EventRaised, OrchestrationInstance
from taskhub.model.hub import PartitionStatus
from taskhub.model.ids import ETag, ExecutionId, InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage

NOW = Utc("2026-11-30T12:00:00Z")
ME, A, B = InstanceId("i"), InstanceId("@counter@a"), InstanceId("@counter@b")
CALL = OpenRequest(Request("r1", operation="add", parent=ME), A, NOW)
BOTH = (EntityId("counter", "a"), EntityId("counter", "b"))
LOCK = OpenRequest(Request("r2", lock_set=BOTH, parent=ME), A, NOW)
KNOWN = EntityFacts(taken={RequestMemory.key("other"): int(NOW.moment().timestamp() // 60)})


def picture(request, *messages, entities=None, hidden=0):
    return Picture(
        now=NOW,
        partition_count=1,
        partitions=[PartitionStatus("hub-control-00", 0, owner="w", is_held=True)],
        work_items="hub-workitems",
        executions={ME: ExecutionFacts(ExecutionId("e"), ETag("1"), RuntimeStatus.Running, True, 5)},
        rows={ME: RowFacts(ETag("2"), RuntimeStatus.Running, ExecutionId("e"))},
        requests={ME: (request,)},
        entities=entities or {},
        messages=[MessageFacts("hub-control-00", each) for each in messages],
        hidden={"hub-control-00": hidden},
    )


def raised(target, name, text="{}"):
    return TaskMessage(EventRaised(timestamp=NOW, name=name, input=text), target=OrchestrationInstance(target, None))


def found(*arguments, **more):
    return [(each.kind, each.remedy) for each in diagnose(picture(*arguments, **more))]


@pytest.mark.parametrize(
    ("entities", "kind", "remedy"),
    [
        ({}, "lost-request", PutRequest(ME, "r1", A, "'add'", ETag("1"))),
        ({A: KNOWN}, "lost-request", PutRequest(ME, "r1", A, "'add'", ETag("1"))),
        ({A: EntityFacts(taken={RequestMemory.key("r1"): 1})}, "lost-entity-answer", None),
        ({A: EntityFacts()}, "lost-entity-answer", None),  # nobody knows
    ],
)
def test_a_call_is_put_again_only_where_it_was_certainly_not_done(entities, kind, remedy):
    assert found(CALL, entities=entities) == [(kind, remedy)]


@pytest.mark.parametrize(
    ("entities", "remedy"),
    [
        ({}, PutRequest(ME, "r2", A, "to be locked", ETag("1"))),
        ({A: EntityFacts(locked_by=ME), B: KNOWN}, PutRequest(ME, "r2", B, "to be locked", ETag("1"))),
        ({A: EntityFacts(locked_by=ME), B: EntityFacts(locked_by=ME)}, PutGrant(ME, "r2", ETag("1"))),
        # It took the lock and is open: it was told to open, and would not close for a second copy.
        ({A: EntityFacts(taken={RequestMemory.key("r2"): 1})}, None),
    ],
)
def test_a_lock_goes_on_where_it_was_lost(entities, remedy):
    assert found(LOCK, entities=entities) == [("lost-request", remedy)]


@pytest.mark.parametrize(
    ("request_", "messages", "more"),
    [
        (CALL, [raised(A, "op", '{"op":"add","id":"r1"}')], {}),
        (CALL, [raised(ME, "r1", '{"result":"1"}')], {}),
        (CALL, [], {"entities": {A: EntityFacts(held=frozenset({"r1"}))}}),
        (CALL, [], {"hidden": 1}),
        (LOCK, [raised(B, "op", '{"lockset":[],"id":"r2"}')], {}),
        (LOCK, [], {"entities": {A: EntityFacts(locked_by=ME), B: EntityFacts(held=frozenset({"r2"}))}}),
        (LOCK, [], {"entities": {A: EntityFacts(locked_by=InstanceId("other"), held=frozenset({"r2"}))}}),
    ],
    ids=["in the queue", "answered", "in line", "perhaps hidden", "handed on", "in line at the second", "in line"],
)
def test_what_is_on_its_way_or_in_line_is_not_lost(request_, messages, more):
    assert found(request_, *messages, **more) == []
