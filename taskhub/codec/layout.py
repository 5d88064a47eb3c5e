"""The one description of every event: wire names, property order and kinds of values.

Messages, History rows and the raw events of the extension all show the same properties. They differ only in how a
value of a kind is written:

============  ==========================  ==================================  =====================
kind          message                     row                                 raw event
============  ==========================  ==================================  =====================
TEXT          JSON string                 String                              text
TIME          JSON string                 DateTime                            text
INTEGER       JSON number                 Int32                               int
FLAG          JSON true, false            Boolean                             bool
STATUS        its number                  its name                            its number
TAGS, JSON    JSON object                 String of JSON                      dict
a record      JSON object with ``$type``  String of JSON without ``$type``    dict
null          ``null``                    no column; JSON: the text ``null``  ``None``
============  ==========================  ==================================  =====================

To add a property: one line here. To add an event: do not, .NET readers fail on types that they do not know.

Source: DurableTask.Core.History (declared order; the members of the base class come last).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.model import history as events

if TYPE_CHECKING:
    from types import EllipsisType

    from taskhub.model.history import HistoryEventBase


class Kind(enum.Enum):
    """What a property holds, where it is no nested record; the value is for error texts."""

    TEXT = "a text"
    INTEGER = "an integer"
    FLAG = "true or false"
    TIME = "a time"
    STATUS = "a runtime status"
    TAGS = "an object of texts"
    JSON = "an object"


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a record."""

    wire_name: str
    attribute: str
    """Of the model."""
    kind: Kind | type
    """A type is the model of a nested record."""
    if_null: str | EllipsisType | None = ...
    """What null or absence means where the model has no default; ``...``: the value must be there."""
    written_only: bool = False
    """Readers have no use for it."""


@dataclass(frozen=True, slots=True)
class Record:
    """An object: its CLR type and its properties in order."""

    type_name: str
    """Full name without the assembly, the ``$type`` of messages."""
    model: type[Any]
    properties: tuple[Property, ...]


def _text(wire_name: str, attribute: str) -> Property:
    return Property(wire_name, attribute, Kind.TEXT)


def _integer(wire_name: str, attribute: str) -> Property:
    return Property(wire_name, attribute, Kind.INTEGER)


def _time(wire_name: str, attribute: str) -> Property:
    return Property(wire_name, attribute, Kind.TIME)


_NAME = _text("Name", "name")
_VERSION = _text("Version", "version")
_INPUT = _text("Input", "input")
_RESULT = _text("Result", "result")
_REASON = _text("Reason", "reason")
_TARGET_ID = _text("InstanceId", "instance_id")
_TASK = _integer("TaskScheduledId", "task_scheduled_id")
_TAGS = Property("Tags", "tags", Kind.TAGS)
_INSTANCE = Property("OrchestrationInstance", "instance", events.OrchestrationInstance)
_FAILURE = Property("FailureDetails", "failure", events.FailureDetails)
_PARENT_TRACE = Property("ParentTraceContext", "parent_trace", events.TraceContext)

EVENT_TYPE = Property("EventType", "type_number", Kind.INTEGER, written_only=True)
"""In messages and raw events a number among the properties; in rows a column with the name."""

BASE_PROPERTIES = (
    _integer("EventId", "event_id"),
    Property("IsPlayed", "is_played", Kind.FLAG),
    _time("Timestamp", "timestamp"),
)
"""What every event ends with."""


def _event(model: type[HistoryEventBase], *properties: Property) -> Record:
    if EVENT_TYPE not in properties:
        properties = (EVENT_TYPE, *properties)
    return Record(f"DurableTask.Core.History.{_class_name(model)}", model, properties + BASE_PROPERTIES)


def _class_name(model: type[HistoryEventBase]) -> str:
    return model.type_name if model is events.GenericEvent else f"{model.type_name}Event"


EVENTS = (
    _event(
        events.ExecutionStarted,
        _INSTANCE,  # a public field of the CLR class, hence before the overridden property
        EVENT_TYPE,
        Property("ParentInstance", "parent", events.ParentInstance),
        _NAME,
        _VERSION,
        _INPUT,
        _TAGS,
        _text("Correlation", "correlation"),
        _PARENT_TRACE,
        _time("ScheduledStartTime", "scheduled_start"),
        _integer("Generation", "generation"),
        Property("GenerateNewTrace", "generate_new_trace", Kind.FLAG),
    ),
    _event(
        events.ExecutionCompleted,
        Property("OrchestrationStatus", "status", Kind.STATUS),
        _RESULT,
        _FAILURE,
    ),
    _event(events.ExecutionTerminated, _INPUT),
    _event(events.TaskScheduled, _NAME, _VERSION, _INPUT, _PARENT_TRACE, _TAGS),
    _event(events.TaskCompleted, _TASK, _RESULT),
    _event(events.TaskFailed, _TASK, _REASON, _text("Details", "details"), _FAILURE),
    _event(
        events.SubOrchestrationCreated,
        _NAME,
        _VERSION,
        _TARGET_ID,
        _INPUT,
        _text("ClientSpanId", "client_span_id"),
        _TAGS,
    ),
    _event(events.SubOrchestrationCompleted, _TASK, _RESULT),
    _event(events.SubOrchestrationFailed, _TASK, _REASON, _text("Details", "details"), _FAILURE),
    _event(events.TimerCreated, _time("FireAt", "fire_at")),
    _event(events.TimerFired, _integer("TimerId", "timer_id"), _time("FireAt", "fire_at")),
    _event(events.OrchestratorStarted),
    _event(events.OrchestratorCompleted),
    _event(events.EventSent, _TARGET_ID, _NAME, _INPUT),
    _event(events.EventRaised, _NAME, _INPUT, _PARENT_TRACE),
    _event(events.GenericEvent, _text("Data", "data"), EVENT_TYPE),
    _event(events.ExecutionSuspended, _REASON),
    _event(events.ExecutionResumed, _REASON),
    _event(
        events.ExecutionRewound,
        _REASON,
        _text("ParentExecutionId", "parent_execution_id"),
        _TARGET_ID,
        _PARENT_TRACE,
    ),
)
"""All events, by number."""

NESTED = (
    Record(
        "DurableTask.Core.OrchestrationInstance",
        events.OrchestrationInstance,
        (_TARGET_ID, Property("ExecutionId", "execution_id", Kind.TEXT, if_null=None)),
    ),
    Record(
        "DurableTask.Core.ParentInstance",
        events.ParentInstance,
        (_NAME, _INSTANCE, _integer("TaskScheduleId", "task_schedule_id"), _VERSION),
    ),
    Record(
        "DurableTask.Core.FailureDetails",
        events.FailureDetails,
        (
            # Never null from the reference's own code, but these come through from what a worker reported.
            Property("ErrorType", "error_type", Kind.TEXT, if_null=""),
            Property("ErrorMessage", "error_message", Kind.TEXT, if_null=""),
            _text("StackTrace", "stack_trace"),
            Property("InnerFailure", "inner_failure", events.FailureDetails),
            Property("IsNonRetriable", "is_non_retriable", Kind.FLAG),
            Property("Properties", "properties", Kind.JSON),
        ),
    ),
    Record(
        "DurableTask.Core.Tracing.DistributedTraceContext",
        events.TraceContext,
        (
            _text("TraceParent", "trace_parent"),
            _text("TraceState", "trace_state"),
            _text("Id", "id"),
            _text("SpanId", "span_id"),
            # A DateTimeOffset, which nobody here computes with: its text is kept.
            _text("ActivityStartTime", "activity_start_time"),
        ),
    ),
)
"""Records inside events."""
