from dataclasses import replace

import pytest

from taskhub.core.runtime_state import RuntimeState
from taskhub.model.history import (
    FAKE_TIMER_ID,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    TaskFailed,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.builders import NOON, at, completed, first_episode, raised, scheduled, started

OPENED = EventSent(event_id=3, timestamp=NOON, instance_id=InstanceId("@lock@a"), name="op", input='{"id":"r-1"}')
HISTORY = [
    *first_episode(
        scheduled(0),
        TimerCreated(event_id=1, timestamp=NOON, fire_at=at(5)),
        SubOrchestrationCreated(event_id=2, timestamp=NOON, name="Child", instance_id=InstanceId("c")),
        OPENED,
    ),
    OrchestratorStarted(timestamp=at(1)),
    completed(0),
    raised(),
    OrchestratorCompleted(timestamp=at(1)),
]


def test_a_history_is_folded_into_what_the_next_episode_needs():
    state = RuntimeState.of(HISTORY)

    assert state.execution_id == "e1"
    assert state.status is RuntimeStatus.Running
    assert (state.event_count, state.episodes, state.next_task_id, state.is_whole) == (len(HISTORY), 2, 4, True)
    assert state.open == {1, 2}
    assert state.requests == {"r-1"}


def test_an_empty_history_has_no_execution():
    state = RuntimeState.of([])

    assert (state.execution_id, state.is_terminal, state.is_whole) == (None, False, True)


def test_a_history_that_ends_within_an_episode_is_not_whole():
    assert not RuntimeState.of(HISTORY[:-1]).is_whole


@pytest.mark.parametrize(
    ("event", "is_second_copy"),
    [
        (started(), True),
        (completed(0), True),
        (TaskFailed(timestamp=NOON, task_scheduled_id=0, reason="other answer, same task"), True),
        (completed(7), False),
        (TimerFired(timestamp=NOON, timer_id=1, fire_at=at(5)), False),
        (SubOrchestrationCompleted(timestamp=NOON, task_scheduled_id=2), False),
        (raised(), True),
        (raised(data="2"), False),
        (raised(name="stop"), False),
        (raised(timestamp=at(0.000001)), False),
        (ExecutionSuspended(timestamp=NOON, reason="hold"), False),
    ],
)
def test_a_second_copy_is_told_from_a_new_message(event, is_second_copy):
    assert RuntimeState.of(HISTORY).has_seen(event) is is_second_copy


@pytest.mark.parametrize(
    "event",
    [
        ExecutionSuspended(timestamp=at(2), reason="hold"),
        ExecutionResumed(timestamp=at(2), reason="go"),
        ExecutionTerminated(timestamp=at(2), input="stop"),
        GenericEvent(timestamp=at(2), data="rewound"),
        raised(timestamp=at(2)),
    ],
)
def test_what_a_client_sent_is_recognised_when_it_comes_again(event):
    state = RuntimeState.of([*HISTORY, event])

    assert state.has_seen(replace(event, is_played=True))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([ExecutionSuspended(timestamp=NOON)], RuntimeStatus.Suspended),
        ([ExecutionSuspended(timestamp=NOON), ExecutionResumed(timestamp=NOON)], RuntimeStatus.Running),
        ([ExecutionTerminated(timestamp=NOON)], RuntimeStatus.Running),
        ([ExecutionCompleted(timestamp=NOON, status=RuntimeStatus.Failed)], RuntimeStatus.Failed),
    ],
)
def test_the_status_follows_the_events(events, status):
    state = RuntimeState.of([*HISTORY, *events])

    assert state.status is status
    assert state.is_terminal is status.is_terminal


def test_the_reference_s_fake_timer_takes_no_task_id():
    fake = TimerCreated(event_id=FAKE_TIMER_ID, timestamp=NOON, fire_at=NOON)

    state = RuntimeState.of([*first_episode(scheduled(0)), fake])

    assert state.next_task_id == 1
    assert not state.has_seen(TimerFired(timestamp=NOON, timer_id=FAKE_TIMER_ID, fire_at=NOON))
