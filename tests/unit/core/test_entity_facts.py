"""Whether an entity has taken a request, and whether it would still know."""

import pytest

from taskhub.core.entity_facts import EntityFacts, OpenRequest
from taskhub.core.entity_memory import MAX_REMEMBERED, RequestMemory
from taskhub.model.entities import NEVER, EntityId, ReceiveBuffer, Request, SorterState, Stamp
from taskhub.model.ids import ExecutionId, InstanceId, Utc

SENT = Utc("2026-11-30T12:00:00Z")
MINUTE = int(SENT.moment().timestamp() // 60)
LABEL = Stamp.parse("2026-11-30T12:00:00Z")
EARLIER, LATER = LABEL.plus(-10_000_000), LABEL.plus(10_000_000)


def request(**changes):
    values = {"id": "r", "operation": "add", "parent": InstanceId("Sender"), "parent_execution": ExecutionId("e1")}
    return Request(**{**values, "timestamp": LABEL, **changes})


def sorter(last=None, *, execution="e1", horizon=NEVER):
    received = {} if last is None else {"sender": ReceiveBuffer(last, ExecutionId(execution))}
    return SorterState(received=received, receive_horizon=horizon)


def ids(*names, minute=MINUTE):
    return {RequestMemory.key(name): minute for name in names}


@pytest.mark.parametrize(
    ("facts", "asked", "has_taken", "would_remember"),
    [
        (EntityFacts(sorter=sorter(LABEL)), request(), True, True),
        (EntityFacts(sorter=sorter(LATER)), request(), True, True),
        (EntityFacts(sorter=sorter(EARLIER)), request(), False, True),
        (EntityFacts(sorter=sorter()), request(), False, True),
        # Labels begin anew with every execution of the sender.
        (EntityFacts(sorter=sorter(LATER, execution="e0")), request(), False, True),
        # Behind the horizon, or without a label, order does not tell.
        (EntityFacts(sorter=sorter(horizon=LATER)), request(), False, False),
        (EntityFacts(), request(timestamp=NEVER), False, False),
        (EntityFacts(), request(parent=None, timestamp=LABEL), False, False),
        (EntityFacts(sorter=sorter(LATER)), request(position=1), False, False),
        # Then ids do, for an hour.
        (EntityFacts(taken=ids("r")), request(timestamp=NEVER), True, True),
        (EntityFacts(taken=ids("other")), request(timestamp=NEVER), False, True),
        (EntityFacts(taken=ids("other", minute=MINUTE + 60)), request(timestamp=NEVER), False, True),
        (EntityFacts(taken=ids("other", minute=MINUTE + 61)), request(timestamp=NEVER), False, False),
        # As many as it remembers: what it took before the oldest, it has forgotten.
        (
            EntityFacts(taken=ids(*map(str, range(MAX_REMEMBERED)), minute=MINUTE + 1)),
            request(timestamp=NEVER),
            False,
            False,
        ),
        (
            EntityFacts(taken=ids(*map(str, range(MAX_REMEMBERED)), minute=MINUTE)),
            request(timestamp=NEVER),
            False,
            True,
        ),
    ],
)
def test_an_entity_tells_by_order_or_by_ids_whether_it_has_a_request(facts, asked, has_taken, would_remember):
    assert (facts.has_taken(asked), facts.would_remember(asked, SENT)) == (has_taken, would_remember)


def test_a_request_concerns_its_entity_and_one_for_locks_all_of_them():
    lock = request(operation=None, lock_set=(EntityId("a", "1"), EntityId("b", "2")))

    assert OpenRequest(request(), InstanceId("@a@1"), SENT).members == ("@a@1",)
    assert OpenRequest(lock, InstanceId("@a@1"), SENT).members == ("@a@1", "@b@2")
