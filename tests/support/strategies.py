"""Hypothesis strategies for model values, as wild as their types allow."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st

from taskhub.model import history
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionLease
from taskhub.model.messages import Envelope, TaskMessage


def _time(moment: datetime, ticks: int) -> Utc:
    return Utc.parse(f"{moment.replace(microsecond=0).isoformat()}.{ticks:07d}Z")


# Any characters: halves of surrogate pairs, the null character and everything that XML cannot carry included.
texts = st.text(st.characters(exclude_categories=()), max_size=20)
optional_texts = st.none() | texts
integers = st.integers(-(2**31), 2**31 - 1)
times = st.builds(_time, st.datetimes(min_value=datetime(1601, 1, 1)), st.integers(0, 9_999_999))
"""With seven digits, and not before the first year of a table."""
_names = texts.filter(lambda name: name != "$type")
tags = st.dictionaries(_names, texts, max_size=3)
_objects = st.dictionaries(
    _names,
    st.recursive(
        st.none() | st.booleans() | integers | texts,
        lambda values: st.lists(values, max_size=3) | st.dictionaries(_names, values, max_size=3),
        max_leaves=4,
    ),
    max_size=3,
)

instances = st.builds(history.OrchestrationInstance, texts, optional_texts)
_parents = st.builds(history.ParentInstance, texts, instances, integers, optional_texts)
_traces = st.builds(history.TraceContext, texts, optional_texts, optional_texts, optional_texts, optional_texts)


def _failures_around(inner: st.SearchStrategy[history.FailureDetails]) -> st.SearchStrategy[history.FailureDetails]:
    return st.builds(
        history.FailureDetails, texts, texts, optional_texts, st.none() | inner, st.booleans(), st.none() | _objects
    )


_failures = _failures_around(_failures_around(_failures_around(st.nothing())))

_base = {"event_id": integers, "is_played": st.booleans(), "timestamp": times}
_task = {"task_scheduled_id": integers, "result": optional_texts}
_failed = {
    "task_scheduled_id": integers,
    "reason": optional_texts,
    "details": optional_texts,
    "failure": st.none() | _failures,
}
_trace = {"parent_trace": st.none() | _traces}

EVENTS: dict[type, st.SearchStrategy[history.HistoryEvent]] = {
    model: st.builds(model, **_base, **own)
    for model, own in {
        history.ExecutionStarted: {
            "instance": instances,
            "parent": st.none() | _parents,
            "name": texts,
            "version": optional_texts,
            "input": optional_texts,
            "tags": st.none() | tags,
            "correlation": optional_texts,
            **_trace,
            "scheduled_start": st.none() | times,
            "generation": st.none() | integers,
            "generate_new_trace": st.booleans(),
        },
        history.ExecutionCompleted: {
            "status": st.sampled_from(RuntimeStatus),
            "result": optional_texts,
            "failure": st.none() | _failures,
        },
        history.ExecutionTerminated: {"input": optional_texts},
        history.TaskScheduled: {
            "name": texts,
            "version": optional_texts,
            "input": optional_texts,
            **_trace,
            "tags": st.none() | tags,
        },
        history.TaskCompleted: _task,
        history.TaskFailed: _failed,
        history.SubOrchestrationCreated: {
            "name": texts,
            "version": optional_texts,
            "instance_id": texts,
            "input": optional_texts,
            "client_span_id": optional_texts,
            "tags": st.none() | tags,
        },
        history.SubOrchestrationCompleted: _task,
        history.SubOrchestrationFailed: _failed,
        history.TimerCreated: {"fire_at": times},
        history.TimerFired: {"timer_id": integers, "fire_at": times},
        history.OrchestratorStarted: {},
        history.OrchestratorCompleted: {},
        history.EventSent: {"instance_id": texts, "name": texts, "input": optional_texts},
        history.EventRaised: {"name": texts, "input": optional_texts, **_trace},
        history.GenericEvent: {"data": optional_texts},
        history.ExecutionSuspended: {"reason": optional_texts},
        history.ExecutionResumed: {"reason": optional_texts},
        history.ExecutionRewound: {
            "reason": optional_texts,
            "parent_execution_id": optional_texts,
            "instance_id": optional_texts,
            **_trace,
        },
    }.items()
}
"""Every class of event, by class."""
events = st.one_of(*EVENTS.values())

envelopes = st.builds(
    Envelope,
    message=st.builds(TaskMessage, event=events, target=instances, context_tags=st.none() | tags),
    activity_id=st.uuids().map(str),
    sequence_number=st.integers(0, 2**63 - 1),
    episode=st.none() | integers,
    sender=instances,
)
leases = st.builds(
    PartitionLease,
    queue=texts,
    owner=st.none() | texts.filter(bool),
    next_owner=st.none() | texts.filter(bool),
    owned_since=st.none() | times,
    last_renewal=st.none() | times,
    expires_at=st.none() | times,
    is_draining=st.booleans(),
)
