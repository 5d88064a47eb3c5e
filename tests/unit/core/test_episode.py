from dataclasses import replace

import pytest

from taskhub.core.episode import (
    KEEP_STATUS,
    Ahead,
    begin_episode,
    checked,
    continues_as_new,
    failure,
    finish_episode,
    next_clock,
    next_execution_id,
    next_generation,
    resume_episode,
    storing_ahead,
    terminate,
)
from taskhub.core.operations import EpisodeRules, child_execution_id
from taskhub.core.runtime_state import RuntimeState
from taskhub.model.actions import (
    Actions,
    CreateTimer,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from tests.support.builders import INSTANCE, NOON, PARENT, at, completed, first_episode, raised, scheduled, started

RULES = EpisodeRules()


def actions(*operations, outcome=None, status=None, next_task_id=9):
    return Actions(operations, status, outcome, next_task_id)


def begin(*accepted, history=()):
    return begin_episode(RuntimeState.of(history), accepted or (started(),), now=at(1))


def names(checkpoint):
    return [event.type_name for event in checkpoint.new_events]


def sent(checkpoint):
    return [outbound.outgoing.message.event for outbound in checkpoint.outbound]


# ---- what is stored


def test_an_episode_begins_with_its_time_and_what_arrived_as_played():
    history = first_episode(scheduled(0))

    episode = begin(completed(0), raised(), history=history)

    assert episode.new_events == (
        OrchestratorStarted(timestamp=at(1)),
        completed(0, is_played=True),
        raised(is_played=True),
    )
    assert (episode.number, episode.first_index, episode.next_task_id) == (2, 4, 1)


def test_decisions_follow_in_order_and_the_episode_is_closed():
    operations = [ScheduleActivity(0, "Charge", '["1"]'), CreateTimer(1, at(60))]

    checkpoint = finish_episode(begin(), actions(*operations), now=at(2), rules=RULES)

    assert checkpoint.new_events[2:] == (
        TaskScheduled(event_id=0, timestamp=at(2), name="Charge", version=""),
        TimerCreated(event_id=1, timestamp=at(2), fire_at=at(60)),
        OrchestratorCompleted(timestamp=at(2)),
    )
    assert not checkpoint.is_final


def test_every_message_tells_who_sent_it_and_in_which_episode():
    episode = begin(completed(0), history=first_episode(scheduled(0)))

    checkpoint = finish_episode(episode, actions(ScheduleActivity(1, "Ship", None)), now=at(2), rules=RULES)

    (outbound,) = checkpoint.outbound
    assert (outbound.sender, outbound.episode) == (INSTANCE, 2)


def test_the_input_of_an_activity_travels_and_is_stored_only_on_request():
    operation = ScheduleActivity(0, "Charge", '["1"]')

    plain = finish_episode(begin(), actions(operation), now=at(2), rules=RULES)
    storing = finish_episode(begin(), actions(operation), now=at(2), rules=EpisodeRules(store_inputs=True))

    assert sent(plain) == sent(storing) == [replace(plain.new_events[2], input='["1"]')]
    assert storing.new_events[2].input == '["1"]'


def test_a_timer_is_a_message_to_itself_for_its_time():
    checkpoint = finish_episode(begin(), actions(CreateTimer(0, at(60))), now=at(2), rules=RULES)

    (outbound,) = checkpoint.outbound
    assert outbound.outgoing.message.event == TimerFired(timestamp=at(2), timer_id=0, fire_at=at(60))
    assert (outbound.outgoing.message.target, outbound.outgoing.due) == (INSTANCE, at(60))


@pytest.mark.parametrize(
    ("instance_id", "expected"), [(InstanceId("mine"), "mine"), (None, "e1:4")], ids=["given", "made"]
)
def test_a_child_knows_its_parent_and_inherits_its_tags(instance_id, expected):
    parent = started(tags={"team": "a", "FireAndForget": ""}, version="2.0")
    operation = StartSubOrchestration(4, "Child", instance_id, '"x"', None)

    checkpoint = finish_episode(begin(parent), actions(operation), now=at(2), rules=EpisodeRules(default_version="3"))

    created, (outbound,) = checkpoint.new_events[2], checkpoint.outbound
    child = OrchestrationInstance(InstanceId(expected), child_execution_id(ExecutionId("e1"), operation))
    assert created == SubOrchestrationCreated(
        event_id=4, timestamp=at(2), name="Child", version="3", instance_id=InstanceId(expected)
    )
    assert outbound.outgoing.message.event == ExecutionStarted(
        timestamp=at(2),
        instance=child,
        parent=ParentInstance("Order", INSTANCE, 4, "2.0"),
        name="Child",
        version="3",
        input='"x"',
        tags={"team": "a"},
    )
    assert outbound.outgoing.message.target == child


def test_a_child_that_is_started_again_is_the_same_execution():
    operation = StartSubOrchestration(4, "Child", None, '"x"', None)

    first = child_execution_id(ExecutionId("e1"), operation)

    assert child_execution_id(ExecutionId("e1"), replace(operation)) == first
    assert len(first) == 32


@pytest.mark.parametrize(
    "changes",
    [{"task_id": 5}, {"name": "Other"}, {"input": '"y"'}, {"instance_id": InstanceId("mine")}],
    ids=["another task", "another name", "another input", "another id"],
)
def test_another_child_is_another_execution_although_it_may_be_asked_for_under_the_same_task_id(changes):
    operation = StartSubOrchestration(4, "Child", None, '"x"', None)

    another = child_execution_id(ExecutionId("e1"), replace(operation, **changes))

    assert another != child_execution_id(ExecutionId("e1"), operation)


@pytest.mark.parametrize(
    ("instance_id", "name", "due"),
    [
        ("other", "go", None),
        ("other", "op@2026-01-05T13:00:00Z", None),
        ("@counter@a", "op", None),
        ("@counter@a", "op@2026-01-05T13:00:00.0000000Z", at(3600)),
    ],
)
def test_an_event_for_another_instance_is_stored_as_sent_and_travels_as_raised(instance_id, name, due):
    operation = SendEvent(0, InstanceId(instance_id), name, "1")

    checkpoint = finish_episode(begin(), actions(operation), now=at(2), rules=RULES)

    (outbound,) = checkpoint.outbound
    assert checkpoint.new_events[2] == EventSent(
        event_id=0, timestamp=at(2), instance_id=InstanceId(instance_id), name=name, input="1"
    )
    assert outbound.outgoing.message.event == EventRaised(timestamp=at(2), name=name, input="1")
    assert outbound.outgoing.message.target == OrchestrationInstance(InstanceId(instance_id), None)
    assert outbound.outgoing.due == due


# ---- the end


@pytest.mark.parametrize(
    ("outcome", "status", "result", "answer"),
    [
        (
            Returned('"done"'),
            RuntimeStatus.Completed,
            '"done"',
            SubOrchestrationCompleted(timestamp=at(2), task_scheduled_id=3, result='"done"'),
        ),
        (
            Raised("it failed", "why"),
            RuntimeStatus.Failed,
            "it failed",
            SubOrchestrationFailed(timestamp=at(2), task_scheduled_id=3, reason="it failed", details="why"),
        ),
    ],
)
def test_the_end_is_stored_and_the_parent_hears_of_it(outcome, status, result, answer):
    episode = begin(started(parent=PARENT))

    checkpoint = finish_episode(episode, actions(outcome=outcome), now=at(2), rules=RULES)

    assert checkpoint.new_events[2] == ExecutionCompleted(event_id=9, timestamp=at(2), status=status, result=result)
    assert checkpoint.is_final
    (outbound,) = checkpoint.outbound
    assert (outbound.outgoing.message.event, outbound.outgoing.message.target) == (answer, PARENT.instance)


@pytest.mark.parametrize("start", [started(), started(parent=PARENT, tags={"FireAndForget": ""})])
def test_nobody_hears_of_an_end_that_nobody_waits_for(start):
    assert finish_episode(begin(start), actions(outcome=Returned(None)), now=at(2), rules=RULES).outbound == ()


def test_an_end_calls_for_no_timers_but_sends_what_was_asked_for_beside_it():
    operations = [ScheduleActivity(0, "Log", None), CreateTimer(1, at(60))]

    checkpoint = finish_episode(begin(), actions(*operations, outcome=Returned(None)), now=at(2), rules=RULES)

    assert names(checkpoint)[2:] == ["TaskScheduled", "TimerCreated", "ExecutionCompleted", "OrchestratorCompleted"]
    assert [event.type_name for event in sent(checkpoint)] == ["TaskScheduled"]


def test_a_termination_ends_the_instance_whatever_else_arrived():
    history = first_episode(scheduled(0))
    stop = ExecutionTerminated(timestamp=NOON, input="stop")
    episode = begin(completed(0), stop, history=[*history[:1], started(parent=PARENT), *history[2:]])

    checkpoint = terminate(episode, now=at(2))

    assert names(checkpoint) == [
        "OrchestratorStarted",
        "TaskCompleted",
        "ExecutionTerminated",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    assert checkpoint.new_events[3] == ExecutionCompleted(
        event_id=1, timestamp=at(2), status=RuntimeStatus.Terminated, result="stop"
    )
    assert sent(checkpoint) == [SubOrchestrationFailed(timestamp=at(2), task_scheduled_id=3, reason="stop")]
    assert checkpoint.custom_status is KEEP_STATUS


# ---- suspension


def test_decisions_of_a_suspended_instance_are_withheld():
    pause = ExecutionSuspended(timestamp=NOON, reason="hold")
    episode = begin(completed(0), pause, history=first_episode(scheduled(0)))

    checkpoint = finish_episode(
        episode,
        actions(ScheduleActivity(1, "Ship", None), outcome=Returned(None), status='"s"'),
        now=at(2),
        rules=RULES,
    )

    assert names(checkpoint) == ["OrchestratorStarted", "TaskCompleted", "ExecutionSuspended", "OrchestratorCompleted"]
    assert (checkpoint.outbound, checkpoint.withholds, checkpoint.custom_status) == ((), True, '"s"')


def test_a_suspended_instance_that_decides_nothing_withholds_nothing():
    history = [*first_episode(scheduled(0)), ExecutionSuspended(timestamp=NOON)]

    checkpoint = finish_episode(begin(raised(), history=history), actions(), now=at(2), rules=RULES)

    assert not checkpoint.withholds


def test_resumption_in_the_same_batch_lets_decisions_through():
    episode = begin(
        ExecutionSuspended(timestamp=NOON),
        completed(0),
        ExecutionResumed(timestamp=NOON),
        history=first_episode(scheduled(0)),
    )

    checkpoint = finish_episode(episode, actions(ScheduleActivity(1, "Ship", None)), now=at(2), rules=RULES)

    assert "TaskScheduled" in names(checkpoint)


# ---- continue as new


def test_a_new_generation_begins_with_its_start_and_what_is_carried_over():
    restarted = actions(outcome=Restarted('"next"', (raised("late"),)))
    episode = begin(
        completed(0), history=[*first_episode(scheduled(0))[:1], started(parent=PARENT, tags={"k": "v"}, generation=2)]
    )

    assert continues_as_new(episode, restarted)
    following = next_generation(episode, restarted, execution_id=ExecutionId("e2"), now=at(3), rules=RULES)

    instance = OrchestrationInstance(INSTANCE.instance_id, ExecutionId("e2"))
    start = started(timestamp=at(3), instance=instance, parent=PARENT, tags={"k": "v"}, input='"next"', is_played=True)
    assert following.new_events == (
        OrchestratorStarted(timestamp=at(3)),
        start,
        raised("late", is_played=True),
        OrchestratorCompleted(timestamp=at(3), is_played=True),
    )
    assert (following.first_index, following.next_task_id, following.replaces) == (0, 0, True)


def test_only_the_last_generation_is_stored_but_all_are_sent_but_for_timers():
    first = begin(completed(0), history=first_episode(scheduled(0)))
    decided = actions(ScheduleActivity(1, "Log", None), CreateTimer(2, at(60)), outcome=Restarted(None, ()))
    second = next_generation(first, decided, execution_id=ExecutionId("e2"), now=at(3), rules=RULES)

    checkpoint = finish_episode(
        second, actions(ScheduleActivity(0, "Charge", None), CreateTimer(1, at(90))), now=at(4), rules=RULES
    )

    assert names(checkpoint) == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
        "TaskScheduled",
        "TimerCreated",
        "OrchestratorCompleted",
    ]
    assert [event.type_name for event in sent(checkpoint)] == ["TaskScheduled", "TaskScheduled", "TimerFired"]
    assert [outbound.sender.execution_id for outbound in checkpoint.outbound] == ["e1", "e2", "e2"]
    assert {outbound.episode for outbound in checkpoint.outbound} == {2}
    assert checkpoint.replaces


def test_a_generation_that_decides_nothing_has_one_end_of_its_episode():
    following = next_generation(
        begin(), actions(outcome=Restarted(None, ())), execution_id=ExecutionId("e2"), now=at(3), rules=RULES
    )

    checkpoint = finish_episode(following, actions(), now=at(4), rules=RULES)

    assert names(checkpoint) == ["OrchestratorStarted", "ExecutionStarted", "OrchestratorCompleted"]


@pytest.mark.parametrize(("own", "expected"), [(None, '"old"'), ('"new"', '"new"')])
def test_a_custom_status_goes_over_to_a_generation_that_sets_none(own, expected):
    following = next_generation(
        begin(),
        actions(outcome=Restarted(None, ()), status='"old"'),
        execution_id=ExecutionId("e2"),
        now=at(3),
        rules=RULES,
    )

    assert finish_episode(following, actions(status=own), now=at(4), rules=RULES).custom_status == expected


def test_a_suspended_instance_does_not_continue_as_new_yet():
    episode = begin(ExecutionSuspended(timestamp=NOON), history=first_episode())

    assert not continues_as_new(episode, actions(outcome=Restarted(None, ())))


# ---- limits


@pytest.mark.parametrize(("characters", "kilobytes"), [(8701, None), (8702, 17), (9000, 17), (20000, 39)])
def test_a_custom_status_above_the_limit_fails_the_orchestration(characters, kilobytes):
    decided = actions(ScheduleActivity(0, "Charge", None), status=f'"{"x" * characters}"')

    found = checked(begin(), decided, RULES)

    if kilobytes is None:
        assert found is decided
    else:
        assert found.operations == ()
        assert found.custom_status is None
        assert found.outcome.reason == (
            "Orchestrator function 'Order' failed: The UTF-16 size of the JSON-serialized payload must not exceed "
            f"16 KB. The current payload size is {kilobytes} KB."
        )


def test_a_failure_reads_as_the_extension_writes_it():
    assert failure("Order", "boom", "line 1") == Raised(
        "Orchestrator function 'Order' failed: boom", details="Message: boom, StackTrace: line 1"
    )


# ---- requests to entities: what a crash in between must not change

ENTITY = InstanceId("@counter@a")


def request(task_id=0, name="op", request_id="r1", entity=ENTITY):
    return SendEvent(task_id, entity, name, f'{{"op":"add","id":"{request_id}"}}')


def test_an_episode_that_asks_entities_is_stored_before_it_asks():
    episode = begin(completed(0), history=first_episode(scheduled(0)))

    checkpoint = finish_episode(episode, actions(request(1)), now=at(2), rules=RULES)

    assert storing_ahead(checkpoint, episode) == replace(checkpoint, ahead=Ahead(INSTANCE, 4, episode.new_events))


@pytest.mark.parametrize(
    "operation",
    [
        ScheduleActivity(1, "Ship", None),
        SendEvent(1, InstanceId("order-43"), "op", "{}"),
        request(1, "release"),
    ],
    ids=["an activity", "an event", "a release"],
)
def test_other_episodes_are_stored_at_once(operation):
    episode = begin(completed(0), history=first_episode(scheduled(0)))

    checkpoint = finish_episode(episode, actions(operation), now=at(2), rules=RULES)

    assert storing_ahead(checkpoint, episode) is checkpoint


def test_what_an_earlier_generation_asked_is_stored_with_its_execution():
    first = begin(completed(0), history=first_episode(scheduled(0)))
    restarted = actions(request(1), outcome=Restarted(None, ()))
    second = next_generation(first, restarted, execution_id=ExecutionId("e2"), now=at(3), rules=RULES)

    checkpoint = storing_ahead(finish_episode(second, actions(), now=at(4), rules=RULES), first)

    assert checkpoint.instance.execution_id == "e2"
    assert checkpoint.ahead == Ahead(INSTANCE, 4, first.new_events)


def test_the_children_of_a_generation_are_started_after_it_is_stored_how_the_work_item_began():
    """Begun again, it would be another execution with other children."""
    child = StartSubOrchestration(0, "Ship", None, None, None)
    first = begin(completed(0), history=first_episode(scheduled(0)))
    own = finish_episode(first, actions(replace(child, task_id=1)), now=at(4), rules=RULES)
    restarted = actions(outcome=Restarted(None, ()))
    second = next_generation(first, restarted, execution_id=ExecutionId("e2"), now=at(3), rules=RULES)

    checkpoint = storing_ahead(finish_episode(second, actions(child), now=at(4), rules=RULES), first)

    assert checkpoint.ahead == Ahead(INSTANCE, 4, first.new_events)
    assert storing_ahead(own, first) is own


@pytest.mark.parametrize(("now", "seen"), [(at(9), at(9)), (at(5), at(5)), (at(2), at(5))])
def test_time_does_not_go_back_when_an_instance_moves_to_a_worker_whose_clock_is_behind(now, seen):
    state = RuntimeState.of([*first_episode(scheduled(0)), OrchestratorStarted(timestamp=at(5))])

    episode = begin_episode(state, [completed(0)], now=now)

    assert episode.clock == episode.new_events[0].timestamp == seen


def test_an_interrupted_episode_goes_on_where_it_was_and_at_its_time():
    part = RuntimeState.of([*first_episode(scheduled(0)), OrchestratorStarted(timestamp=at(7)), completed(0)])

    episode = resume_episode(part)

    assert (episode.clock, episode.number, episode.first_index, episode.new_events) == (at(7), 2, 6, ())
    checkpoint = storing_ahead(finish_episode(episode, actions(request(1)), now=at(9), rules=RULES), episode)
    assert names(checkpoint) == ["EventSent", "OrchestratorCompleted"]
    assert {outbound.episode for outbound in checkpoint.outbound} == {2}
    assert checkpoint.ahead is None


def test_an_interrupted_episode_may_lack_nothing_but_its_end():
    """Found by simulation: the code decides nothing in an episode of which 99 events were stored."""
    part = RuntimeState.of([*first_episode(scheduled(0)), OrchestratorStarted(timestamp=at(7)), completed(0)])

    checkpoint = finish_episode(resume_episode(part), actions(), now=at(9), rules=RULES)

    assert (checkpoint.first_index, names(checkpoint)) == (6, ["OrchestratorCompleted"])


def test_an_interrupted_termination_is_one():
    part = RuntimeState.of(
        [*first_episode(), OrchestratorStarted(timestamp=at(7)), ExecutionTerminated(timestamp=at(7))]
    )

    assert resume_episode(part).terminated == ExecutionTerminated(timestamp=at(7))


def test_only_what_was_begun_can_be_resumed():
    with pytest.raises(ValueError, match="has begun"):
        resume_episode(RuntimeState())


def test_a_generation_has_the_same_id_and_time_when_its_work_item_is_resumed():
    begun = begin(completed(0), history=first_episode(scheduled(0)))
    resumed = resume_episode(RuntimeState.of([*first_episode(scheduled(0)), *begun.new_events]))
    again = begin_episode(RuntimeState.of(first_episode(scheduled(0))), [completed(0)], now=at(50))

    assert next_execution_id(resumed, resumed) == next_execution_id(begun, begun)
    assert next_clock(resumed) == next_clock(begun) == Utc("2026-01-05T12:00:01.000001Z")
    assert next_execution_id(again, again) != next_execution_id(begun, begun)


# ---- locks

LOCK = SendEvent(
    0, ENTITY, "op", '{"op":null,"id":"l1","lockset":[{"name":"counter","key":"a"},{"name":"counter","key":"b"}]}'
)
LOCKED = first_episode(
    EventSent(event_id=0, timestamp=NOON, instance_id=ENTITY, name="op", input=LOCK.input),
)


def releases(checkpoint):
    return [
        (outbound.outgoing.message.target.instance_id, outbound.outgoing.message.event.input)
        for outbound in checkpoint.outbound
        if getattr(outbound.outgoing.message.event, "name", "") == "release"
    ]


OPEN_BOTH = [(f"@counter@{key}", '{"parent":"order-42","id":"l1"}') for key in "ab"]


@pytest.mark.parametrize("outcome", [Returned(None), Raised("boom", None)], ids=["returned", "failed"])
def test_an_execution_that_ends_opens_what_it_locked(outcome):
    episode = begin(raised("l1"), history=LOCKED)

    checkpoint = finish_episode(episode, actions(outcome=outcome, next_task_id=1), now=at(2), rules=RULES)

    assert releases(checkpoint) == OPEN_BOTH
    assert [event.event_id for event in checkpoint.new_events[-4:]] == [1, 2, 3, -1]
    assert names(checkpoint)[-4:] == ["EventSent", "EventSent", "ExecutionCompleted", "OrchestratorCompleted"]


def test_a_terminated_execution_opens_what_it_locked_or_is_about_to():
    episode = begin(ExecutionTerminated(timestamp=NOON), history=LOCKED)

    checkpoint = terminate(episode, now=at(2))

    assert releases(checkpoint) == OPEN_BOTH
    assert names(checkpoint)[-4:] == ["EventSent", "EventSent", "ExecutionCompleted", "OrchestratorCompleted"]


def test_a_new_generation_holds_nothing_of_the_old_one():
    episode = begin(raised("l1"), history=LOCKED)

    following = next_generation(
        episode, actions(outcome=Restarted(None, ())), execution_id=ExecutionId("e2"), now=at(3), rules=RULES
    )

    assert releases(following) == OPEN_BOTH
    assert following.locks == {}


def test_what_the_code_opened_itself_is_left_alone():
    opened = SendEvent(1, ENTITY, "release", '{"parent":"order-42","id":"l1"}')
    episode = begin(raised("l1"), history=LOCKED)

    checkpoint = finish_episode(
        episode, actions(opened, outcome=Returned(None), next_task_id=2), now=at(2), rules=RULES
    )

    assert releases(checkpoint) == OPEN_BOTH


def test_locks_that_were_asked_for_in_the_last_moment_are_opened_too():
    checkpoint = finish_episode(begin(), actions(LOCK, outcome=Raised("boom", None)), now=at(2), rules=RULES)

    assert releases(checkpoint) == OPEN_BOTH


def test_an_execution_that_goes_on_keeps_its_locks():
    assert releases(finish_episode(begin(raised("l1"), history=LOCKED), actions(), now=at(2), rules=RULES)) == []
