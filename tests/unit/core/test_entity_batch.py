from dataclasses import replace
from datetime import timedelta

import pytest

from taskhub.core.entity_batch import FIX_ORPHANED_LOCK, BatchRules, Send, begin_batch, finish_batch, hidden_until
from taskhub.core.entity_memory import RequestMemory
from taskhub.model.entities import (
    LOCK_GRANTED,
    NEVER,
    BatchAnswer,
    BatchFailure,
    Continue,
    EntityId,
    Release,
    Request,
    Response,
    SchedulerState,
    Signal,
    Stamp,
    Start,
)
from taskhub.model.history import OrchestrationInstance
from taskhub.model.ids import InstanceId
from tests.support.builders import NOON, at

COUNTER = EntityId("counter", "a")
OTHER = EntityId("counter", "b")
RULES = BatchRules(max_operations=3)


def signal(name, **changes):
    return Request(**{"id": name, "operation": "add", "is_signal": True, **changes})


def call(name, sender="order-42", **changes):
    return Request(**{"id": name, "operation": "get", "parent": sender, "parent_execution": f"{sender}-e", **changes})


def lock(name, sender="order-42", *members, position=0):
    return call(name, sender, operation=None, lock_set=members or (COUNTER,), position=position)


def begin(*incoming, scheduler=None, memory=None, began=None, now=NOON, rules=RULES):
    return begin_batch(
        COUNTER,
        scheduler or SchedulerState(),
        incoming,
        memory or RequestMemory(),
        now=now,
        began=began,
        rules=rules,
    )


def finish(batch, outcome=None):
    if outcome is None and batch.operations:
        outcome = BatchAnswer(exists=True, state="1", results=tuple(Response(each.id) for each in batch.operations))
    return finish_batch(batch, outcome, now=NOON)


def ids(requests):
    return [request.id for request in requests]


# ---- what runs, and what waits

LOCKED = SchedulerState(locked_by="order-42")
FULL = SchedulerState(queue=(signal("q1"), signal("q2")))


@pytest.mark.parametrize(
    ("scheduler", "incoming", "operations", "granted", "queue"),
    [
        (SchedulerState(), [signal("s1"), call("c1")], ["s1", "c1"], None, []),
        (FULL, [signal("s1")], ["q1", "q2", "s1"], None, []),
        (FULL, [], ["q1", "q2"], None, []),
        (SchedulerState(), [signal("s1"), lock("l1"), signal("s2")], ["s1"], "l1", ["s2"]),
        (SchedulerState(), [lock("l1"), call("c1")], [], "l1", ["c1"]),
        (SchedulerState(), [lock("l1"), lock("l2", "order-43")], [], "l1", ["l2"]),
        (LOCKED, [signal("s1"), call("c1", "order-43")], [], None, ["s1", "c1"]),
        (LOCKED, [signal("s1"), call("c1"), call("c2")], ["c1", "c2"], None, ["s1"]),
        (replace(LOCKED, queue=(signal("q1"),)), [call("c1")], ["c1"], None, ["q1"]),
        (LOCKED, [call("c1"), Release("order-42", "l1"), call("c2", "order-43")], ["c1", "c2"], None, []),
        (LOCKED, [signal("s1"), Release("order-42", "l1")], ["s1"], None, []),
        (LOCKED, [signal("s1"), Release("order-43", "l1")], [], None, ["s1"]),
        (LOCKED, [signal("s1"), Release("order-42", FIX_ORPHANED_LOCK)], ["s1"], None, []),
    ],
)
def test_the_queue_is_run_up_to_a_lock_and_whoever_holds_it_stands_in_front(
    scheduler, incoming, operations, granted, queue
):
    batch = begin(*incoming, scheduler=scheduler)

    assert ids(batch.operations) == operations
    assert (batch.lock.id if batch.lock else None) == granted
    assert ids(batch.scheduler.queue) == queue


def test_a_long_queue_is_run_in_parts_and_the_entity_reminds_itself():
    finished = finish(begin(*(signal(f"s{n}") for n in range(5))))

    assert ids(finished.scheduler.queue) == ["s3", "s4"]
    assert finished.scheduler.is_suspended
    assert finished.sends == (Send(OrchestrationInstance("@counter@a", None), Continue()),)


def test_exactly_as_many_as_are_allowed_leave_nothing_to_be_reminded_of():
    finished = finish(begin(*(signal(f"s{n}") for n in range(3))))

    assert (finished.scheduler.is_suspended, finished.sends) == (False, ())


def test_what_nobody_may_run_is_no_reason_for_a_reminder():
    finished = finish(begin(*(call(f"c{n}") for n in range(3)), signal("s1"), scheduler=LOCKED))

    assert (ids(finished.scheduler.queue), finished.scheduler.is_suspended) == (["s1"], False)


SUSPENDED = replace(FULL, is_suspended=True)


@pytest.mark.parametrize(
    ("incoming", "waited", "operations"),
    [
        ([signal("s1")], 0, []),
        ([signal("s1")], 10, []),
        ([signal("s1")], 10.5, ["q1", "q2", "s1"]),
        ([Continue(), signal("s1")], 0, ["q1", "q2", "s1"]),
    ],
    ids=["not reminded", "not yet", "reminder lost", "reminded"],
)
def test_a_suspended_entity_waits_for_its_reminder_but_not_for_ever(incoming, waited, operations):
    batch = begin(*incoming, scheduler=SUSPENDED, began=NOON, now=at(waited))

    assert ids(batch.operations) == operations
    assert batch.scheduler.is_suspended is (not operations)


# ---- second copies


def test_a_second_copy_of_a_client_s_signal_does_nothing():
    memory = RequestMemory()
    begin(signal("s1"), memory=memory)

    assert begin(signal("s1"), signal("s2"), memory=memory).operations == (signal("s2"),)


def test_a_request_under_a_new_label_is_still_the_same_but_later_ones_may_name_it():
    first = call("c1", timestamp=Stamp.of(NOON))
    again = call("c1", timestamp=Stamp.of(at(1)))
    after = call("c2", timestamp=Stamp.of(at(2)), predecessor=Stamp.of(at(1)))

    assert ids(begin(first, again, after).operations) == ["c1", "c2"]


def test_a_lock_that_comes_after_its_release_does_not_close():
    memory = RequestMemory()
    begin(Release("order-42", "l1"), memory=memory)

    batch = begin(lock("l1"), memory=memory)

    assert (batch.lock, batch.scheduler.queue) == (None, ())


def test_a_lock_that_comes_with_its_release_does_not_close():
    """Both were in hand when a worker died after handing the lock on."""
    batch = begin(lock("l1"), Release("order-42", "l1"), call("c2", "order-43"))

    assert batch.lock is None
    assert ids(batch.operations) == ["c2"]
    assert batch.scheduler.locked_by is None
    assert batch.scheduler.queue == ()


def test_a_second_release_does_not_open_the_next_lock_of_the_same_holder():
    memory = RequestMemory()
    begin(Release("order-42", "l1"), scheduler=LOCKED, memory=memory)

    batch = begin(Release("order-42", "l1"), scheduler=LOCKED, memory=memory)

    assert batch.scheduler.locked_by == "order-42"


def test_orphaned_locks_can_be_opened_again_and_again():
    memory = RequestMemory()
    for _ in range(2):
        batch = begin(Release("order-42", FIX_ORPHANED_LOCK), scheduler=LOCKED, memory=memory)
        assert batch.scheduler.locked_by is None


# ---- for later


@pytest.mark.parametrize(("seconds", "is_run"), [(-60, True), (0, True), (0.1, True), (0.2, False), (60, False)])
def test_what_comes_before_its_time_is_sent_to_itself(seconds, is_run):
    late = signal("s1", due=at(seconds))
    memory = RequestMemory()

    batch = begin(late, memory=memory)

    if is_run:
        assert ids(batch.operations) == ["s1"]
    else:
        assert batch.sends == (Send(OrchestrationInstance("@counter@a", None), late, hidden_until=at(seconds)),)
        assert not memory.has_taken("s1")


def test_nothing_hides_for_more_than_six_days():
    far = NOON.plus(timedelta(days=30))

    assert hidden_until(far, NOON) == NOON.plus(timedelta(days=6))
    assert hidden_until(at(5), NOON) == at(5)


def test_a_late_signal_is_not_sorted():
    late = signal("s1", parent="order-42", due=NOON, timestamp=Stamp.of(NOON), predecessor=Stamp.of(at(-1)))

    assert ids(begin(late).operations) == ["s1"]


# ---- what is sent

TO_CALLER = OrchestrationInstance("order-42", "order-42-e")


def test_calls_are_answered_and_signals_are_not():
    batch = begin(signal("s1"), call("c1"), call("c2"))
    answer = BatchAnswer(
        exists=True, state="7", results=(Response("1"), Response("2"), Response('"no"', is_error=True))
    )

    finished = finish(batch, answer)

    assert (finished.scheduler.exists, finished.scheduler.state) == (True, "7")
    assert finished.sends == (
        Send(TO_CALLER, Response("2"), name="c1"),
        Send(TO_CALLER, Response('"no"', is_error=True), name="c2"),
    )


def test_a_batch_that_failed_is_answered_with_errors_and_changes_nothing():
    before = SchedulerState(exists=True, state="6")

    finished = finish(begin(call("c1"), signal("s1"), scheduler=before), BatchFailure('"boom"'))

    assert (finished.scheduler.exists, finished.scheduler.state) == (True, "6")
    assert finished.sends == (Send(TO_CALLER, Response('"boom"', is_error=True), name="c1"),)


def test_a_deleted_entity_keeps_its_order():
    batch = begin(call("c1", timestamp=Stamp.of(NOON)))

    finished = finish(batch, BatchAnswer(exists=False, state="null", results=(Response("null"),)))

    assert (finished.scheduler.exists, finished.scheduler.state) == (False, "null")
    assert finished.scheduler.sorter.received["order-42"].last == Stamp.of(NOON)


def test_a_signal_for_later_hides_and_takes_no_part_in_the_order():
    answer = BatchAnswer(exists=True, state="1", results=(Response("1"),), signals=(Signal(OTHER, "wake", due=at(60)),))

    [sent] = finish(begin(signal("s1")), answer).sends

    assert (sent.content.due, sent.hidden_until, sent.content.timestamp) == (at(60), at(60), NEVER)


def test_an_entity_starts_the_same_execution_when_its_batch_is_run_again():
    start = Start(InstanceId("child"), "flow", "1")
    answer = BatchAnswer(exists=True, state="1", results=(Response("1"),), starts=(start, start))

    first, second = finish(begin(signal("s1")), answer).sends
    again, _ = finish(begin(signal("s1")), answer).sends

    assert (first.target.instance_id, first.content) == ("child", start)
    assert first.target.execution_id == again.target.execution_id != second.target.execution_id


def test_signals_of_an_entity_carry_labels_and_ids_that_a_repetition_has_too():
    def run():
        signals = (Signal(OTHER, "hello", "1"), Signal(OTHER, "again"), Signal(COUNTER, "self"))
        answer = BatchAnswer(exists=True, state="1", results=(Response("1"),), signals=signals)
        return finish(begin(signal("s1")), answer)

    finished = run()

    hello, again, own = (send.content for send in finished.sends)
    assert [str(send.target.instance_id) for send in finished.sends] == ["@counter@b", "@counter@b", "@counter@a"]
    assert (hello.operation, hello.input, hello.is_signal) == ("hello", "1", True)
    assert (hello.parent, hello.parent_execution) == ("@counter@a", None)
    assert (hello.timestamp, hello.predecessor) == (Stamp.of(NOON), NEVER)
    assert (again.timestamp.ticks, again.predecessor) == (hello.timestamp.ticks + 1, hello.timestamp)
    assert own.predecessor == NEVER
    assert finished.scheduler.sorter.last_sent == {"@counter@b": again.timestamp, "@counter@a": own.timestamp}
    assert len({hello.id, again.id, own.id}) == 3
    assert run() == finished


# ---- locks


def test_a_lock_of_one_entity_is_granted_at_once():
    finished = finish(begin(lock("l1")))

    assert finished.scheduler.locked_by == "order-42"
    assert finished.sends == (Send(TO_CALLER, LOCK_GRANTED, name="l1"),)


def test_a_lock_of_several_is_handed_on_with_its_labels():
    request = replace(lock("l1", "order-42", COUNTER, OTHER), timestamp=Stamp.of(NOON))

    finished = finish(begin(request))

    assert finished.scheduler.locked_by == "order-42"
    assert finished.sends == (Send(OrchestrationInstance("@counter@b", None), replace(request, position=1)),)


def test_the_last_of_several_grants_the_lock():
    finished = finish(begin(lock("l1", "order-42", OTHER, COUNTER, position=1)))

    assert finished.sends == (Send(TO_CALLER, LOCK_GRANTED, name="l1"),)


def test_a_holder_s_operation_that_came_before_its_lock_runs_at_once():
    """The lock was redelivered late; the sorter held back what its holder asked for meanwhile."""
    batch = begin(lock("l1"), signal("s1"), call("c1"), call("c2", "order-43"))

    finished = finish(batch)

    assert batch.operations == ()
    assert ids(finished.scheduler.queue) == ["c1", "s1", "c2"]
    assert [type(send.content) for send in finished.sends] == [Response, Continue]
    assert ids(begin(Continue(), scheduler=finished.scheduler).operations) == ["c1"]


def test_answers_go_before_the_lock_and_the_reminder_last():
    late = signal("late", due=at(60))
    batch = begin(late, *(call(f"c{n}") for n in range(2)), lock("l1"), rules=BatchRules(max_operations=2))

    sends = finish(batch).sends

    # The limit comes before the lock, which waits for the next batch.
    assert [type(send.content) for send in sends] == [Request, Response, Response, Continue]
    assert ids(batch.scheduler.queue) == ["l1"]


def test_a_batch_with_operations_needs_an_outcome():
    with pytest.raises(ValueError, match="outcome"):
        finish_batch(begin(signal("s1")), None, now=NOON)
