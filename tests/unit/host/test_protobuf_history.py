"""History events as messages of the protocol."""

import durabletask.internal.orchestrator_service_pb2 as messages
import pytest

from taskhub.host.protobuf.history_events import event_fields
from taskhub.host.protobuf.values import failure_fields, failure_from_text, failure_of, stamp, utc
from taskhub.model import history
from taskhub.model.history import FailureDetails, OrchestrationInstance, ParentInstance, TraceContext
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus

NOW = Utc("2024-02-27T17:20:34.5678901Z")
FAILURE = FailureDetails("builtins.ValueError", "boom", "  File …", FailureDetails("KeyError", "'x'"), True, {"n": 1.0})
US = OrchestrationInstance("i", "e")


def sent(event):
    """Return what arrives of an event: the message, and its one kind."""
    arrived = messages.HistoryEvent.FromString(messages.HistoryEvent(**event_fields(event)).SerializeToString())
    return arrived, getattr(arrived, arrived.WhichOneof("eventType"))


@pytest.mark.parametrize(
    ("event", "kind", "wanted"),
    [
        (history.TaskScheduled(event_id=3, timestamp=NOW, name="a"), "taskScheduled", {"name": "a"}),
        (
            history.TaskCompleted(timestamp=NOW, task_scheduled_id=3, result='"r"'),
            "taskCompleted",
            {"taskScheduledId": 3, "result.value": '"r"'},
        ),
        (
            history.SubOrchestrationCreated(event_id=4, timestamp=NOW, name="s", instance_id="c", version="1"),
            "subOrchestrationInstanceCreated",
            {"name": "s", "instanceId": "c", "version.value": "1"},
        ),
        (
            history.SubOrchestrationCompleted(timestamp=NOW, task_scheduled_id=4, result="1"),
            "subOrchestrationInstanceCompleted",
            {"taskScheduledId": 4, "result.value": "1"},
        ),
        (
            history.SubOrchestrationFailed(timestamp=NOW, task_scheduled_id=4, reason="KeyError: 'x'", details="d"),
            "subOrchestrationInstanceFailed",
            {"taskScheduledId": 4, "failureDetails.errorType": "KeyError", "failureDetails.stackTrace.value": "d"},
        ),
        (
            history.TimerCreated(event_id=5, timestamp=NOW, fire_at=NOW),
            "timerCreated",
            {"fireAt.nanos": 567_890_100},
        ),
        (
            history.TimerFired(timestamp=NOW, timer_id=5, fire_at=NOW),
            "timerFired",
            {"timerId": 5, "fireAt.seconds": 1_709_054_434},
        ),
        (
            history.EventSent(event_id=6, timestamp=NOW, instance_id="@c@k", name="op", input="{}"),
            "eventSent",
            {"instanceId": "@c@k", "name": "op", "input.value": "{}"},
        ),
        (history.EventRaised(timestamp=NOW, name="E", input="1"), "eventRaised", {"name": "E", "input.value": "1"}),
        (history.OrchestratorStarted(timestamp=NOW), "orchestratorStarted", {}),
        (history.OrchestratorCompleted(timestamp=NOW), "orchestratorCompleted", {}),
        (history.GenericEvent(timestamp=NOW, data="d"), "genericEvent", {"data.value": "d"}),
        (history.ExecutionTerminated(timestamp=NOW, input="x"), "executionTerminated", {"input.value": "x"}),
        (history.ExecutionSuspended(timestamp=NOW, reason="x"), "executionSuspended", {"input.value": "x"}),
        (history.ExecutionResumed(timestamp=NOW, reason="x"), "executionResumed", {"input.value": "x"}),
        (history.ExecutionRewound(timestamp=NOW), "executionRewound", {}),
        (
            history.ExecutionCompleted(event_id=9, timestamp=NOW, status=RuntimeStatus.Terminated, result="x"),
            "executionCompleted",
            {"orchestrationStatus": messages.ORCHESTRATION_STATUS_TERMINATED, "result.value": "x"},
        ),
    ],
)
def test_an_event_arrives_with_its_kind_and_fields(event, kind, wanted):
    arrived, of_kind = sent(event)

    assert arrived.WhichOneof("eventType") == kind
    assert (arrived.eventId, utc(arrived.timestamp)) == (event.event_id, NOW)
    for path, value in wanted.items():
        found = of_kind
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value, path


def test_every_event_of_a_history_has_a_kind():
    kinds = {type(event) for event in map(_any_of, history.HistoryEvent.__args__)}

    assert kinds == set(history.HistoryEvent.__args__)


def _any_of(kind):
    values = {"name": "n", "instance": US, "instance_id": "c", "status": RuntimeStatus.Failed, "fire_at": NOW}
    wanted = {name: values.get(name, 0) for name, each in kind.__dataclass_fields__.items() if _is_required(each)}
    event = kind(**{**wanted, "timestamp": NOW})
    sent(event)
    return event


def _is_required(field):
    return field.default is field.default_factory


def test_the_start_of_a_child_tells_its_parent_its_tags_and_its_trace():
    _, started = sent(
        history.ExecutionStarted(
            timestamp=NOW,
            instance=US,
            parent=ParentInstance("p", OrchestrationInstance("pi", "pe"), 7),
            name="s",
            version="2",
            input='"x"',
            tags={"k": "v"},
            parent_trace=TraceContext("00-a-b-01", "s"),
            scheduled_start=NOW,
        )
    )

    assert (started.name, started.version.value, started.input.value) == ("s", "2", '"x"')
    assert (started.orchestrationInstance.instanceId, started.orchestrationInstance.executionId.value) == ("i", "e")
    assert (started.parentInstance.taskScheduledId, started.parentInstance.name.value) == (7, "p")
    assert started.parentInstance.orchestrationInstance.instanceId == "pi"
    assert dict(started.tags) == {"k": "v"}
    assert (started.parentTraceContext.traceParent, started.parentTraceContext.traceState.value) == ("00-a-b-01", "s")
    assert utc(started.scheduledStartTimestamp) == NOW


def test_what_is_missing_does_not_arrive_as_something_empty():
    _, started = sent(history.ExecutionStarted(timestamp=NOW, instance=US, name="s"))

    assert not any(started.HasField(name) for name in ("input", "version", "parentInstance", "parentTraceContext"))


def test_a_structured_failure_arrives_whole():
    _, failed = sent(history.TaskFailed(timestamp=NOW, task_scheduled_id=1, reason="r", failure=FAILURE))

    assert failure_of(failed.failureDetails) == FAILURE


def test_a_failure_that_is_only_a_text_is_made_into_one():
    text = "Activity function 'a' failed:  ValueError: boom"

    _, failed = sent(history.TaskFailed(timestamp=NOW, task_scheduled_id=1, reason=text, details="d"))

    assert failure_of(failed.failureDetails) == FailureDetails("(unknown)", text, "d")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("ValueError: boom: twice", "ValueError", "boom: twice"),
        ("a.b.Error: x", "a.b.Error", "x"),
        ("ValueError: ", "ValueError", ""),
        ("no kind here: x", "(unknown)", "no kind here: x"),
        ("nothing", "(unknown)", "nothing"),
    ],
)
def test_the_kind_of_a_failure_is_told_by_its_text(text, kind, message):
    failure = failure_from_text(text)

    assert (failure.error_type, failure.error_message) == (kind, message)


@pytest.mark.parametrize("value", [None, True, "text", 1.5, ["a", None, {"b": False}], {"a": [1.0]}])
def test_properties_of_a_failure_come_back_as_they_were(value):
    failure = FailureDetails("E", "m", properties={"p": value})

    assert failure_of(messages.TaskFailureDetails(**failure_fields(failure))).properties == {"p": value}


@pytest.mark.parametrize("text", ["2024-02-27T17:20:34Z", "2024-02-27T17:20:34.5Z", "0001-01-01T00:00:00.0000001Z"])
def test_a_time_keeps_its_seventh_digit(text):
    timestamp = messages.TimerCreatedEvent(fireAt=stamp(Utc(text))).fireAt

    assert utc(timestamp) == text
