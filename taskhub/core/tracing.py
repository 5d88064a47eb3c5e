"""Distributed tracing: the spans of a hub's work, and how their contexts travel in its events.

Whoever starts an instance may belong to a trace. The start names its span; the first episode gives the orchestration a
span of its own, noted in its history, and every question carries the context of one more, so that whoever answers goes
on from there. Nothing has to be remembered besides: each span follows from two events, and is told when the second of
them is stored. An orchestration whose start brings no sampled context has no spans.

Ids are made from what a span is for, so that an episode that is run again asks the same under the same ids.

Source: DurableTask.Core, TraceHelper and DistributedTraceContext; Durable Task extension, distributed tracing V2.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from taskhub.core.request_texts import request_properties
from taskhub.model.entities import EntityId
from taskhub.model.history import (
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TraceContext,
)
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.model.entities import Request, Response
    from taskhub.model.history import OrchestrationInstance
    from taskhub.model.ids import InstanceId

CORE = "DurableTask.Core"
EXTENSION = "WebJobs.Extensions.DurableTask"
"""The two sources of spans, as tools that show them know them."""

_TRACE_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_NESTED_TYPE = "DurableTask.Core.Tracing.DistributedTraceContext, DurableTask.Core"
_MAX_STATE_CHARACTERS = 513


class SpanKind(enum.Enum):
    """What a span is to the one above it."""

    SERVER = "Server"
    CLIENT = "Client"
    PRODUCER = "Producer"
    CONSUMER = "Consumer"
    INTERNAL = "Internal"


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Which span of which trace."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    state: str | None = None
    """``tracestate``."""

    @property
    def parent(self) -> str:
        """What stands in ``traceparent``: sampled, as all that is told of here."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    def child(self, *what: object) -> SpanContext:
        """Return the context of a span below this one.

        Args:
            what: tells it from the others below.
        """
        return replace(self, span_id=_digest(self.trace_id, self.span_id, *what, size=8))

    def carried(self) -> TraceContext:
        """Return what an event carries of it."""
        return TraceContext(self.parent, self.state)


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that is over."""

    source: str
    name: str
    kind: SpanKind
    context: SpanContext
    parent_id: str | None
    """The span above, ``None`` for the first of a trace."""
    start: Utc
    end: Utc
    attributes: Mapping[str, str] = field(default_factory=dict)
    is_ok: bool = False
    """Whether it says that it went well; most say nothing."""
    error: str | None = None
    """What went wrong, if something did."""


# ---- contexts


def context_of(trace: TraceContext | None) -> SpanContext | None:
    """Return the context that an event or a request brought, ``None`` when it is none or not sampled."""
    found = _TRACE_PARENT.fullmatch(trace.trace_parent.strip().lower()) if trace is not None else None
    if trace is None or found is None or not int(found[3], 16) & 1:
        return None
    state = trace.trace_state
    return SpanContext(found[1], found[2], state if state and len(state) <= _MAX_STATE_CHARACTERS else None)


def new_trace(*what: object) -> SpanContext:
    """Return the context of the first span of a new trace.

    Args:
        what: tells it from all others.
    """
    return SpanContext(_digest(*what, size=16), _digest("first", *what, size=8))


def with_own_span(started: ExecutionStarted, *, now: Utc) -> ExecutionStarted:
    """Return the start of an execution with the span of its orchestration, if its start belongs to a trace.

    Args:
        started: as it came.
        now: when the orchestration begins.
    """
    parent = context_of(started.parent_trace)
    if parent is None or started.parent_trace is None:
        return started
    own = parent.child("orchestration", started.instance.execution_id)
    trace = replace(parent.carried(), id=own.parent, span_id=own.span_id, activity_start_time=now.with_offset())
    return replace(started, parent_trace=trace)


def own_span_of(started: ExecutionStarted | None) -> SpanContext | None:
    """Return the span of the orchestration that a stored start began, ``None`` when it has none."""
    if started is None or started.parent_trace is None or started.parent_trace.id is None:
        return None
    return context_of(TraceContext(started.parent_trace.id, started.parent_trace.trace_state))


def question_span(started: ExecutionStarted, task_id: int, now: Utc) -> SpanContext | None:
    """Return the span of something that an orchestration asks for, ``None`` when it has none.

    Args:
        started: of the execution that asks.
        task_id: under which it asks.
        now: when it asks.
    """
    own = own_span_of(started)
    return None if own is None else own.child(started.instance.execution_id, task_id, now)


# ---- requests to entities


def traced_request(content: str, started: ExecutionStarted, task_id: int, now: Utc) -> str:
    """Return a request to an entity with the context of its span: a signal's own, for a call that of the caller.

    Args:
        content: JSON object of the request.
        started: of the execution that asks.
        task_id: under which it asks.
        now: when it asks.
    """
    request = request_properties(content)
    span = question_span(started, task_id, now) if request.get("signal") is True else own_span_of(started)
    if span is None or not request or not content.endswith("}"):
        return content
    added: dict[str, object] = {"parentTraceContext": {"$type": _NESTED_TYPE, **_plain(span)}}
    if "requestTime" not in request:
        added["requestTime"] = now.with_offset()
    return f"{content[:-1]},{json.dumps(added, separators=(',', ':'), ensure_ascii=False)[1:]}"


def request_extra(context: SpanContext) -> Mapping[str, object]:
    """Return what a client's request to an entity carries of its span."""
    return {"parentTraceContext": _plain(context)}


def entity_spans(
    entity: EntityId,
    operations: Sequence[tuple[Request, Response]],
    *,
    began: Utc,
    ended: Utc,
) -> list[Span]:
    """Return the spans of a batch: each operation's, and above that of a call the one of its caller.

    Args:
        entity: which one.
        operations: those of the batch with their results.
        began: when they began.
        ended: when they had ended.
    """
    spans: list[Span] = []
    for request, response in operations:
        parent = _context_in(request.extra)
        if parent is None:
            continue
        error = response.result or "" if response.is_error else None
        name = f"entity:{entity.name}:{request.operation}"
        kind, asked = (SpanKind.CONSUMER, "signal_entity") if request.is_signal else (SpanKind.SERVER, "call_entity")
        if not request.is_signal:
            caller, above = parent.child("call", request.id), parent.span_id
            attributes = _entity_attributes(asked, "event.target_instance_id", entity.instance_id, error)
            start = _earlier(_time_in(request.extra) or began, began)
            spans.append(Span(EXTENSION, name, SpanKind.CLIENT, caller, above, start, ended, attributes, error=error))
            parent = caller
        attributes = _entity_attributes(asked, "task.instance_id", entity.instance_id, error)
        own = parent.child("run", request.id)
        spans.append(Span(EXTENSION, name, kind, own, parent.span_id, began, ended, attributes, error=error))
    return spans


def _entity_attributes(asked: str, key: str, instance_id: InstanceId, error: str | None) -> dict[str, str]:
    attributes = {"durabletask.type": "entity", "durabletask.task.operation": asked, f"durabletask.{key}": instance_id}
    return attributes if error is None else {**attributes, "durabletask.entity.error_message": error}


def _context_in(extra: Mapping[str, object]) -> SpanContext | None:
    found = extra.get("parentTraceContext")
    if not isinstance(found, dict) or not isinstance(found.get("TraceParent"), str):
        return None
    state = found.get("TraceState")
    return context_of(TraceContext(found["TraceParent"], state if isinstance(state, str) else None))


def _time_in(extra: Mapping[str, object]) -> Utc | None:
    text = extra.get("requestTime")
    if not isinstance(text, str):
        return None
    try:
        time = Utc.parse(text)
        time.moment()
    except (ValueError, IndexError):
        return None  # no time: anybody can write a request
    return time


def _plain(context: SpanContext) -> dict[str, Any]:
    return {
        "TraceParent": context.parent,
        "TraceState": context.state,
        "Id": None,
        "SpanId": None,
        "ActivityStartTime": None,
    }


# ---- spans of clients and activities


def creation_span(started: ExecutionStarted, parent: SpanContext | None, *, now: Utc) -> Span:
    """Return the span of a client's start.

    Args:
        started: what it sends.
        parent: the context of whoever asks; ``None`` begins a trace.
        now: the time.
    """
    execution = started.instance.execution_id
    context = new_trace("start", execution) if parent is None else parent.child("start", execution)
    attributes = {
        "durabletask.type": "orchestration",
        "durabletask.task.operation": "create_orchestration",
        "durabletask.task.name": started.name,
        "durabletask.task.instance_id": started.instance.instance_id,
        "durabletask.task.execution_id": str(execution),
        **({"durabletask.task.version": started.version} if started.version else {}),
    }
    name = f"create_orchestration:{started.name}" + (f"@{started.version}" if started.version else "")
    above = None if parent is None else parent.span_id
    return Span(EXTENSION, name, SpanKind.PRODUCER, context, above, started.timestamp, now, attributes)


def signal_span(entity: EntityId, operation: str, context: SpanContext, parent: SpanContext | None, now: Utc) -> Span:
    """Return the span of a signal that a client or an orchestration sends."""
    attributes = {
        "durabletask.type": "entity",
        "durabletask.task.operation": "signal_entity",
        "durabletask.event.target_instance_id": entity.instance_id,
    }
    above = None if parent is None else parent.span_id
    return Span(EXTENSION, f"entity:{entity.name}:{operation}", SpanKind.PRODUCER, context, above, now, now, attributes)


def event_span(name: str, target: InstanceId, context: SpanContext, *, start: Utc, end: Utc) -> Span:
    """Return the span of an event that a client raises; it begins a trace."""
    attributes = {
        "durabletask.type": "event",
        "durabletask.task.name": name,
        "durabletask.event.target_instance_id": target,
    }
    return Span(CORE, f"orchestration_event:{name}", SpanKind.PRODUCER, context, None, start, end, attributes)


def activity_context(task: TaskScheduled, *, attempt: int) -> SpanContext | None:
    """Return the span in which an activity runs, ``None`` when whoever asked for it has none."""
    parent = context_of(task.parent_trace)
    return None if parent is None else parent.child("run", attempt)


def activity_span(
    task: TaskScheduled, target: OrchestrationInstance, context: SpanContext, *, start: Utc, end: Utc, error: str | None
) -> Span:
    """Return the span of an activity that has run."""
    parent = context_of(task.parent_trace)
    return Span(
        CORE,
        f"activity:{task.name}",
        SpanKind.SERVER,
        context,
        None if parent is None else parent.span_id,
        start,
        end,
        _activity_attributes(task, target.instance_id),
        is_ok=error is None,
        error=error,
    )


def _activity_attributes(task: TaskScheduled, instance_id: InstanceId) -> dict[str, str]:
    return {
        "durabletask.type": "activity",
        "durabletask.task.name": task.name,
        "durabletask.task.instance_id": instance_id,
        "durabletask.task.task_id": str(task.event_id),
    }


# ---- spans of an orchestration


class Traces:
    """The spans of one execution: what it has asked for and was not answered, and spans that nobody was told of.

    Args:
        started: of the execution.
        own: its span.
    """

    def __init__(self, started: ExecutionStarted, own: SpanContext) -> None:
        self._started = started
        self._own = own
        self._open: dict[int, HistoryEvent] = {}
        self._now = started.timestamp
        self._ended: list[Span] = []
        self._of_earlier_episodes = 0

    def __repr__(self) -> str:
        return f"<Traces of {self._own.span_id}, {len(self._open)} open, {len(self._ended)} to tell>"

    def apply(self, event: HistoryEvent) -> None:
        """Take one more event of the history into account."""
        match event:
            case OrchestratorStarted():
                self._now = event.timestamp
                self._of_earlier_episodes = len(self._ended)
            case TaskScheduled() | SubOrchestrationCreated():
                self._open[event.event_id] = replace(event, input=None)
            case TimerCreated():
                self._open[event.event_id] = event
            case TaskCompleted() | SubOrchestrationCompleted():
                self._answered(event.task_scheduled_id, None)
            case TaskFailed() | SubOrchestrationFailed():
                self._answered(event.task_scheduled_id, event.reason)
            case TimerFired():
                self._fired(event)
            case EventSent():
                self._sent(event)
            case ExecutionCompleted():
                self._completed(event)

    def forget_told(self, *, is_whole: bool) -> None:
        """Forget the spans of a history that was read: whoever stored it has told of them.

        Args:
            is_whole: whether its last episode is stored to the end; else nobody has told of that.
        """
        del self._ended[: None if is_whole else self._of_earlier_episodes]
        self._of_earlier_episodes = 0

    def take(self) -> list[Span]:
        """Return the spans that have ended since the last time."""
        ended, self._ended, self._of_earlier_episodes = self._ended, [], 0
        return ended

    def _answered(self, task_id: int, error: str | None) -> None:
        asked = self._open.pop(task_id, None)
        instance_id = self._started.instance.instance_id
        if isinstance(asked, TaskScheduled):
            context = context_of(asked.parent_trace)
            name, attributes = f"activity:{asked.name}", _activity_attributes(asked, instance_id)
        elif isinstance(asked, SubOrchestrationCreated) and asked.client_span_id is not None:
            context = replace(self._own, span_id=asked.client_span_id)
            name, attributes = _orchestration(asked.name, asked.version, instance_id)
        else:
            return
        if context is not None:
            self._end(name, SpanKind.CLIENT, context, asked.timestamp, attributes, error=error)

    def _fired(self, event: TimerFired) -> None:
        if isinstance(self._open.pop(event.timer_id, None), TimerCreated):
            attributes = {
                "durabletask.type": "timer",
                "durabletask.task.name": self._started.name,
                "durabletask.task.instance_id": self._started.instance.instance_id,
                "durabletask.fire_at": event.fire_at.padded(),
                "durabletask.task.task_id": str(event.timer_id),
            }
            context = self._own.child("timer", self._started.instance.execution_id, event.timer_id, event.timestamp)
            name = f"orchestration:{self._started.name}:timer"
            self._end(name, SpanKind.INTERNAL, context, event.timestamp, attributes)

    def _sent(self, event: EventSent) -> None:
        entity = EntityId.parse(event.instance_id)
        if entity is None or not event.input or '"parentTraceContext"' not in event.input:
            return
        request = request_properties(event.input)
        context = _context_in(request)
        if request.get("signal") is True and context is not None:
            span = signal_span(entity, str(request.get("op")), context, self._own, event.timestamp)
            self._ended.append(span)

    def _completed(self, event: ExecutionCompleted) -> None:
        started = self._started
        name, attributes = _orchestration(started.name, started.version, started.instance.instance_id)
        is_failed = event.status is RuntimeStatus.Failed
        if event.status is RuntimeStatus.Completed:
            attributes["DurableFunctionsType"] = "Orchestrator"
            attributes["DurableFunctionsInstanceId"] = started.instance.instance_id
            attributes["DurableFunctionsRuntimeStatus"] = event.status.name
        attributes["durabletask.task.status"] = event.status.name
        parent = context_of(started.parent_trace)
        self._ended.append(
            Span(
                CORE,
                name,
                SpanKind.SERVER,
                self._own,
                None if parent is None else parent.span_id,
                _earlier(_began(started), event.timestamp),
                event.timestamp,
                attributes,
                is_ok=event.status is RuntimeStatus.Completed,
                error=(event.result or "") if is_failed else None,
            )
        )

    def _end(
        self,
        name: str,
        kind: SpanKind,
        context: SpanContext,
        start: Utc,
        attributes: Mapping[str, str],
        *,
        error: str | None = None,
    ) -> None:
        start, end = _earlier(start, self._now), self._now
        self._ended.append(Span(CORE, name, kind, context, self._own.span_id, start, end, attributes, error=error))


def _orchestration(name: str, version: str | None, instance_id: InstanceId) -> tuple[str, dict[str, str]]:
    attributes = {
        "durabletask.type": "orchestration",
        "durabletask.task.name": name,
        "durabletask.task.instance_id": instance_id,
    }
    if version:
        attributes["durabletask.task.version"] = version
    return f"orchestration:{name}" + (f"@({version})" if version else ""), attributes


def _began(started: ExecutionStarted) -> Utc:
    text = started.parent_trace.activity_start_time if started.parent_trace is not None else None
    return _time_in({"requestTime": text}) or started.timestamp


def _earlier(one: Utc, other: Utc) -> Utc:
    """Return the earlier of two times: nothing begins after its end, though clocks of workers differ."""
    return min(one, other, key=lambda time: time.moment())


def _digest(*what: object, size: int) -> str:
    text = "\n".join(str(each) for each in what)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
