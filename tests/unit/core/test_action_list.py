"""What a list of actions means against a history. Retries and polls: ``tests/unit/replay/test_retries.py``."""

from datetime import datetime, timedelta, timezone

import pytest

from taskhub.core.action_list import ListRules, carry_out
from taskhub.model import action_list as listed
from taskhub.model.actions import CreateTimer, ScheduleActivity
from taskhub.model.entities import EntityId, Release
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    OrchestrationInstance,
    OrchestratorStarted,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import ExecutionId, InstanceId, Utc

NOW = Utc("2026-01-01T00:00:00Z")
RULES = ListRules(timedelta(days=6), timedelta(days=3), entity_window_seconds=1800, http_poll=timedelta(seconds=30))
STARTED = [
    OrchestratorStarted(timestamp=NOW),
    ExecutionStarted(timestamp=NOW, name="Flow", instance=OrchestrationInstance(InstanceId("i-1"), ExecutionId("e-1"))),
]
A, B = listed.CallActivity("A", "1"), listed.CallActivity("B", "2")


def carried(*actions, history=(), **state):
    answer = listed.Answer(tuple((each,) for each in actions), **state)
    return carry_out(answer, [*STARTED, *history], RULES)


def scheduled(task_id, name="A"):
    return TaskScheduled(timestamp=NOW, event_id=task_id, name=name)


def completed(task_id):
    return TaskCompleted(timestamp=NOW, task_scheduled_id=task_id, result="1")


def failed(task_id):
    return TaskFailed(timestamp=NOW, task_scheduled_id=task_id, reason="no")


def event(name, text="1"):
    return EventRaised(timestamp=NOW, name=name, input=text)


def day(number):
    return datetime(2026, 1, 1 + number, tzinfo=timezone.utc)


def names(found):
    return [each.name for each in found.operations]


def test_one_action_waits_for_the_one_before():
    assert carried(A, B).operations == (ScheduleActivity(0, "A", "[1]"),)
    assert names(carried(A, B, history=[scheduled(0), completed(0)])) == ["B"]


def test_what_failed_is_over_for_the_list_too():
    assert names(carried(A, B, history=[scheduled(0), failed(0)])) == ["B"]


def test_all_are_waited_for_also_after_one_has_failed():
    both = [scheduled(0), scheduled(1, "B"), failed(0)]

    assert names(carried(listed.WhenAll((A, B)), A, history=both)) == []
    assert names(carried(listed.WhenAll((A, B)), A, history=[*both, completed(1)])) == ["A"]


def test_any_goes_on_with_the_first_but_an_execution_does_not_end_before_the_others():
    begun = [scheduled(0), scheduled(1, "B"), completed(1)]
    race = listed.WhenAny((A, B))

    assert names(carried(race, A, history=begun)) == ["A"]
    assert not carried(race, history=begun, is_done=True).is_over
    assert carried(race, history=[*begun, completed(0)], is_done=True).is_over


def test_a_cancelled_timer_is_over_at_once_and_nobody_waits_for_it():
    timer = listed.WaitForTimer(day(1), is_cancelled=True)

    found = carried(listed.WhenAny((A, timer)), B, history=[scheduled(0)])

    assert [type(each) for each in found.operations] == [CreateTimer, ScheduleActivity]
    assert found.open_tasks == {0, 2}


def test_in_the_oldest_schema_any_of_a_group_lets_the_next_group_begin():
    answer = listed.Answer(((A, A), (B,)))

    found = carry_out(answer, [*STARTED, scheduled(0), scheduled(1), completed(1)], RULES)

    assert names(found) == ["B"]


def test_a_long_timer_is_made_of_legs():
    timer = listed.WaitForTimer(day(7))

    def legs(count):
        history = []
        for number in range(count):
            at = Utc.of(day(3 * (number + 1)))
            history += [
                TimerCreated(timestamp=NOW, event_id=number, fire_at=at),
                OrchestratorStarted(timestamp=at),
                TimerFired(timestamp=at, timer_id=number, fire_at=at),
            ]
        return carried(timer, history=history).operations

    assert [legs(count) for count in range(3)] == [
        (CreateTimer(0, Utc.of(day(3))),),
        (CreateTimer(1, Utc.of(day(6))),),
        (CreateTimer(2, Utc.of(day(7))),),
    ]


def test_an_old_schema_has_no_long_timers():
    found = carried(A, listed.WaitForTimer(day(7)), history=[scheduled(0), completed(0)], splits_timers=False)

    assert found.error.startswith("The Azure Storage provider supports a maximum of 6 days for time-based delays")
    assert found.is_over


def test_an_event_goes_to_the_latest_wait_whatever_the_case_of_its_name():
    waits = listed.WhenAny((listed.WaitForEvent("go"), listed.WaitForEvent("other")))

    assert names(carried(waits, A, history=[event("GO")])) == ["A"]
    assert names(carried(listed.WaitForEvent("go"), listed.WaitForEvent("go"), A, history=[event("go")])) == []


def test_events_that_come_after_it_continued_as_new_are_kept_and_those_before_dropped():
    early, late = event("early"), event("late")

    found = carried(A, listed.ContinueAsNew("7"), history=[early, scheduled(0), completed(0), late], is_done=True)

    assert (found.restart, found.kept_events, found.is_over) == (listed.ContinueAsNew("7"), (late,), True)


def test_what_cannot_begin_ends_an_execution_that_nothing_else_can_wake():
    lock = listed.LockEntities((EntityId("e", "k"),))
    history = [event("x")]

    alone = carried(lock, lock, history=history)
    assert alone.error is None, "the first lock is still awaited"
    answer = event(alone.operations[0].content.id)
    refused = carried(lock, lock, history=[_sent(alone), answer])
    assert refused.error == "Cannot acquire more locks when already holding some locks."
    assert carried(lock, lock, A, history=[_sent(alone), answer]).error is None, "an activity goes on"


def _sent(found):
    operation = found.operations[0]
    return EventSent(timestamp=NOW, event_id=operation.task_id, instance_id=operation.target, name="op", input="{}")


def test_locks_that_are_left_at_the_end_are_released():
    lock = listed.LockEntities((EntityId("e", "a"), EntityId("e", "b")))
    asked = carried(lock)

    found = carried(lock, history=[_sent(asked), event(asked.operations[0].content.id)], is_done=True)

    released = [(each.target, type(each.content)) for each in found.operations]
    assert released == [("@e@a", Release), ("@e@b", Release)]


def test_requests_have_the_same_ids_in_every_episode_and_others_the_next_time():
    call = listed.CallEntity(EntityId("e", "k"), "get", None)

    first, again = carried(call).operations[0], carried(call).operations[0]
    second = carried(listed.WhenAll((call, call))).operations[1]

    assert first == again
    assert second.content.id != first.content.id
    assert second.content.predecessor == first.content.timestamp


def test_a_signal_for_later_carries_no_label():
    due = Utc("2026-01-02T00:00:00Z")

    (operation,) = carried(listed.SignalEntity(EntityId("e", "k"), "add", '"1"', due)).operations

    assert (operation.content.due, str(operation.content.timestamp)) == (due, "0001-01-01T00:00:00")


@pytest.mark.parametrize("actions", [(B,), (), (listed.WaitForTimer(day(1)),)], ids=["name", "nothing", "kind"])
def test_a_history_that_tells_of_something_else_is_named(actions):
    found = carried(*actions, history=[scheduled(0), completed(0)])

    assert found.is_disagreeing
    assert "an activity task with sequence ID 0 and name 'A'" in found.error
    assert found.operations == ()


def test_an_unknown_action_fails_when_its_turn_comes():
    unknown = listed.Impossible("Received an unexpected action type")

    assert carried(A, unknown).error is None
    assert carried(A, unknown, history=[scheduled(0), completed(0)]).error == "Received an unexpected action type"
