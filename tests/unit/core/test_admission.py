import uuid
from dataclasses import replace

import pytest

from taskhub.core.activity import is_question_id, question_id
from taskhub.core.admission import (
    Finished,
    Interrupted,
    NothingNew,
    Run,
    StartVerdict,
    TerminatedUnstarted,
    Unknown,
    admit,
    is_of_later,
    is_overtaken,
    judge_start,
)
from taskhub.core.runtime_state import RuntimeState
from taskhub.model.history import (
    EventSent,
    ExecutionCompleted,
    ExecutionTerminated,
    OrchestrationInstance,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.instance import InstanceState, RuntimeStatus
from tests.support.builders import (
    INSTANCE,
    NOON,
    PARENT,
    arrival,
    at,
    completed,
    first_episode,
    raised,
    scheduled,
    started,
)

EMPTY = RuntimeState()
WAITING = RuntimeState.of(first_episode(scheduled(0), scheduled(1)))
ENDED = RuntimeState.of([*first_episode(), ExecutionCompleted(timestamp=NOON, status=RuntimeStatus.Completed)])
ENTITY = OrchestrationInstance(InstanceId("@counter@a"), ExecutionId("x"))


def test_a_start_and_what_came_with_it_begin_an_execution():
    event = raised()

    admission = admit(EMPTY, [arrival(event, execution_id=None), arrival(started())], execution_id=ExecutionId("e1"))

    assert admission == Run((started(), event), early=())


@pytest.mark.parametrize(
    ("arrivals", "accepted"),
    [
        ([arrival(completed(0)), arrival(completed(1))], (completed(0), completed(1))),
        (
            [arrival(completed(1)), arrival(completed(0)), arrival(completed(1, '"again"'))],
            (completed(1), completed(0)),
        ),
        ([arrival(raised(), execution_id=None)] * 2, (raised(),)),
        ([arrival(completed(0)), arrival(completed(1), execution_id="other")], (completed(0),)),
        ([arrival(completed(0)), arrival(started())], (completed(0),)),
    ],
    ids=["all", "second copy in the batch", "event twice", "other execution", "start again"],
)
def test_what_is_new_reaches_the_code_in_order(arrivals, accepted):
    assert admit(WAITING, arrivals, execution_id=ExecutionId("e1")) == Run(accepted, early=())


ASKED = (
    scheduled(0),
    TimerCreated(timestamp=NOON, event_id=1, fire_at=at(5)),
    SubOrchestrationCreated(timestamp=NOON, event_id=2, name="child", instance_id=InstanceId("c"), input=None),
)
ANSWERS = (
    completed(0),
    TimerFired(timestamp=NOON, timer_id=1, fire_at=at(5)),
    SubOrchestrationCompleted(timestamp=NOON, task_scheduled_id=2, result="1"),
)


def under(task_id, answer):
    """Return an answer as if it were that to another task."""
    name = "timer_id" if isinstance(answer, TimerFired) else "task_scheduled_id"
    return replace(answer, **{name: task_id})


@pytest.mark.parametrize("task_id", range(3))
@pytest.mark.parametrize("kind", range(3))
def test_an_answer_of_another_kind_than_was_asked_for_is_nobody_s(task_id, kind):
    """An episode put its messages, was not stored, and then decided otherwise under the same ids."""
    state = RuntimeState.of(first_episode(*ASKED))
    answer = under(task_id, ANSWERS[kind])

    admission = admit(state, [arrival(answer)], execution_id=ExecutionId("e1"))

    assert admission == (Run((answer,), early=()) if kind == task_id else NothingNew((), refresh_row=True))


def test_an_answer_that_beats_its_question_is_put_back():
    admission = admit(WAITING, [arrival(completed(0)), arrival(completed(5))], execution_id=ExecutionId("e1"))

    assert admission == Run((completed(0),), early=(1,))


def test_an_answer_that_comes_with_the_start_waits_for_its_question_however_often_it_was_read():
    """The worker that asked died before it stored anything; the start runs again and asks again."""
    arrivals = [arrival(started()), arrival(completed(0), dequeue_count=9)]

    admission = admit(RuntimeState(), arrivals, execution_id=ExecutionId("e1"))

    assert admission == Run((started(),), early=(1,))


@pytest.mark.parametrize(("dequeue_count", "is_early"), [(1, True), (5, True), (6, False)])
def test_an_answer_without_any_history_is_dropped_in_the_end(dequeue_count, is_early):
    admission = admit(EMPTY, [arrival(completed(0), dequeue_count=dequeue_count)], execution_id=ExecutionId("e1"))

    assert admission == (NothingNew((0,), refresh_row=False) if is_early else Unknown((0,), (), ()))


def test_an_answer_to_a_task_that_never_was_is_dropped_once_the_instance_has_ended():
    assert admit(ENDED, [arrival(completed(5))], execution_id=ExecutionId("e1")) == Finished((0,), (), ())


def test_answers_of_entities_are_matched_by_request_id():
    sent = EventSent(
        event_id=2, timestamp=NOON, instance_id=ENTITY.instance_id, name="op", input='{"op":"get","id":"r1"}'
    )
    state = RuntimeState.of(first_episode(sent))
    known, unknown = raised("r1"), raised("r2")

    admission = admit(
        state,
        [arrival(known, execution_id=None, sender=ENTITY), arrival(unknown, execution_id=None, sender=ENTITY)],
        execution_id=None,
    )

    assert admission == Run((known,), early=(1,))


def test_second_copies_alone_need_no_episode():
    state = RuntimeState.of([*first_episode(scheduled(0)), completed(0), *first_episode()[-1:]])

    assert admit(state, [arrival(completed(0))], execution_id=ExecutionId("e1")) == NothingNew((), refresh_row=True)
    assert admit(WAITING, [arrival(started())], execution_id=ExecutionId("e1")) == NothingNew((), refresh_row=True)


def test_an_episode_that_was_stored_in_part_is_finished_before_anything_else_is_let_in():
    part = RuntimeState.of(first_episode(scheduled(0))[:-1])
    arrivals = [arrival(started()), arrival(completed(0)), arrival(completed(5))]

    admission = admit(part, arrivals, execution_id=ExecutionId("e1"))

    assert admission == Interrupted(used_up=(0,), later=(1, 2))


def test_a_second_answer_of_an_entity_is_dropped_whatever_it_says():
    sent = EventSent(event_id=0, timestamp=NOON, instance_id=ENTITY.instance_id, name="op", input='{"id":"r1"}')
    state = RuntimeState.of(first_episode(sent))
    answers = [arrival(raised("r1", data, timestamp=at(n)), sender=ENTITY) for n, data in enumerate(("7", "8"))]

    admission = admit(state, answers, execution_id=ExecutionId("e1"))
    state.apply(answers[0].event)

    assert admission == Run((answers[0].event,), early=())
    assert state.has_seen(answers[1].event)


@pytest.mark.parametrize("state", [EMPTY, ENDED], ids=["unknown", "ended"])
def test_what_names_a_dead_execution_goes_and_the_rest_is_looked_at_again(state):
    answer = arrival(completed(0), dequeue_count=9)

    admission = admit(state, [answer, arrival(raised(), execution_id=None)], execution_id=ExecutionId("e1"))

    kind = Unknown if state is EMPTY else Finished
    assert admission == kind(used_up=(0,), later=(1,), early=())


def test_events_for_an_instance_that_never_was_are_used_up():
    assert admit(EMPTY, [arrival(raised(), execution_id=None)], execution_id=None) == Unknown((0,), (), ())


@pytest.mark.parametrize("event", [raised(), ExecutionTerminated(timestamp=NOON, input="stop")])
def test_what_comes_beside_a_late_answer_of_an_older_execution_is_looked_at_again(event):
    """The batch has the execution of the answer; the current one has not been looked at."""
    arrivals = [arrival(completed(0)), arrival(event, execution_id=None)]

    admission = admit(EMPTY, arrivals, execution_id=ExecutionId("e1"))

    assert admission == Unknown((), later=(1,), early=(0,))


def test_an_answer_for_another_execution_is_not_kept_for_the_current_one():
    """Where the batch names none: it was looked at before, together with what was for the other one."""
    answer = arrival(completed(7), execution_id=ExecutionId("e0"))

    assert admit(WAITING, [answer], execution_id=None) == NothingNew((), refresh_row=True)


def test_a_termination_before_the_start_is_noted():
    stop = ExecutionTerminated(timestamp=NOON, input="stop")

    admission = admit(
        EMPTY, [arrival(raised(), execution_id=None), arrival(stop, execution_id=None)], execution_id=None
    )

    assert admission == TerminatedUnstarted(stop, early=())


# ---- starts


def row(**changes):
    values = {
        "instance_id": INSTANCE.instance_id,
        "execution_id": ExecutionId("e1"),
        "name": "Order",
        "version": None,
        "status": RuntimeStatus.Pending,
        "created": NOON,
        "last_updated": NOON,
        "generation": 0,
    }
    return InstanceState(**{**values, **changes})


START = started(timestamp=at(1), generation=0)


@pytest.mark.parametrize(
    ("stored", "dequeue_count", "taken_at", "verdict"),
    [
        (None, 1, at(2), StartVerdict.WAIT),
        (None, 9, at(2), StartVerdict.WAIT),
        (None, 10, at(2), StartVerdict.DUPLICATE),
        (row(), 1, at(2), StartVerdict.PROCESS),
        (row(execution_id=None), 1, at(2), StartVerdict.PROCESS),
        (row(status=RuntimeStatus.Terminated), 1, at(2), StartVerdict.TERMINATED),
        (row(status=RuntimeStatus.Terminated), 9, at(2), StartVerdict.TERMINATED),
        (row(status=RuntimeStatus.Terminated, execution_id="e0"), 2, at(2), StartVerdict.DUPLICATE),
        (row(execution_id="e0"), 1, at(2), StartVerdict.DUPLICATE),
        (row(execution_id="e0", created=at(5)), 1, at(2), StartVerdict.WAIT),
        (row(execution_id="e0", status=RuntimeStatus.Running), 1, at(2), StartVerdict.WAIT),
        (row(execution_id="e0", status=RuntimeStatus.Running), 2, at(2), StartVerdict.DUPLICATE),
        (row(execution_id="e0", created=at(5)), 2, at(2), StartVerdict.WAIT),
        (row(execution_id="e0", generation=1), 1, at(2), StartVerdict.DUPLICATE),
        (row(execution_id="e0", generation=None), 2, at(2), StartVerdict.WAIT),
        (row(execution_id="e0", generation=None), 10, at(2), StartVerdict.DUPLICATE),
    ],
)
def test_a_start_is_compared_with_its_row(stored, dequeue_count, taken_at, verdict):
    assert judge_start(START, stored, dequeue_count=dequeue_count, taken_at=taken_at) is verdict


@pytest.mark.parametrize(
    ("status", "created", "expected"),
    [
        (RuntimeStatus.Pending, at(-9), True),
        (RuntimeStatus.Pending, at(9), True),
        (RuntimeStatus.Completed, at(-9), False),
        (RuntimeStatus.Running, at(-9), False),
        (RuntimeStatus.Terminated, at(9), True),
        (RuntimeStatus.Completed, None, True),
    ],
)
def test_a_row_of_another_execution_is_a_client_s_new_start_or_what_was_before(status, created, expected):
    shown = row(status=status, created=created, execution_id=ExecutionId("other"))

    assert is_of_later(shown, first_episode()) is expected


@pytest.mark.parametrize(
    ("parent", "begun", "asked", "expected"),
    [
        (PARENT, 5, 4, True),
        (PARENT, 5, 6, False),
        (PARENT, 5, 5, False),
        (None, 5, 4, False),
        (replace(PARENT, task_schedule_id=4), 5, 4, False),
    ],
    ids=["overtaken", "the later one", "the same", "no child", "of another task"],
)
def test_a_start_is_overtaken_by_that_of_another_child_for_the_same_task(parent, begun, asked, expected):
    current = [OrchestratorStarted(timestamp=at(6)), started(parent=PARENT, timestamp=at(begun))]

    assert is_overtaken(started(parent=parent, timestamp=at(asked)), current) is expected
    assert not is_overtaken(started(parent=PARENT, timestamp=at(asked)), [])


def named(task_id, asked):
    """Return the answer of one of our activities to what was asked at a time."""
    answer = arrival(completed(task_id))
    activity_id = question_id(INSTANCE.execution_id, task_id, asked)
    return replace(answer, envelope=replace(answer.envelope, activity_id=activity_id))


TIMER = TimerCreated(event_id=0, timestamp=NOON, fire_at=at(30))
CHILD = SubOrchestrationCreated(event_id=0, timestamp=NOON, name="c", instance_id=InstanceId("child"))


def fired(fire_at):
    return arrival(TimerFired(timestamp=at(31), timer_id=0, fire_at=fire_at))


def told_by(child):
    answer = SubOrchestrationCompleted(timestamp=at(9), task_scheduled_id=0, result="1")
    return arrival(answer, sender=OrchestrationInstance(InstanceId(child), ExecutionId("any")))


@pytest.mark.parametrize(
    ("asked", "answer", "counts"),
    [
        (scheduled(0), named(0, NOON), True),
        (scheduled(0), named(0, Utc("2026-01-05T12:00:00.0000000Z")), True),
        (scheduled(0), named(0, at(1)), False),
        (scheduled(0), arrival(completed(0)), True),
        (TIMER, fired(at(30)), True),
        (TIMER, fired(at(5)), False),
        (CHILD, told_by("child"), True),
        (CHILD, told_by("CHILD"), True),
        (CHILD, told_by("other"), False),
        (CHILD, told_by(""), True),
    ],
    ids=[
        "ours",
        "ours, its time written otherwise",
        "another activity",
        "an activity elsewhere, which does not tell",
        "the timer",
        "another timer",
        "the child",
        "the child, in other letters",
        "another child",
        "nobody says who",
    ],
)
def test_an_answer_to_something_else_that_was_asked_under_its_id_is_dropped(asked, answer, counts):
    """By an episode that was not stored, and decided otherwise when it was run again; found by simulation."""
    state = RuntimeState.of(first_episode(asked))

    admission = admit(state, [answer], execution_id=ExecutionId("e1"))

    assert admission == (Run((answer.event,), early=()) if counts else NothingNew((), refresh_row=True))


def test_ids_of_questions_are_not_those_that_are_drawn():
    assert is_question_id(question_id(ExecutionId("e1"), 0, NOON))
    assert not is_question_id(str(uuid.uuid4()))
    assert not is_question_id("no id")
