"""Hypothesis strategies for model values, as wild as their types allow."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from taskhub.model import history
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionLease
from taskhub.model.messages import Envelope, TaskMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    Texts = st.SearchStrategy[str]


def _time(moment: datetime, ticks: int) -> Utc:
    return Utc.parse(f"{moment.replace(microsecond=0).isoformat()}.{ticks:07d}Z")


texts = st.text(st.characters(exclude_categories=()), max_size=20)
"""Any characters: halves of surrogate pairs, the null character and everything that XML cannot carry included."""
storable_texts = st.text(max_size=20)
"""Any characters but halves of surrogate pairs."""
optional_texts = st.none() | texts
integers = st.integers(-(2**31), 2**31 - 1)
times = st.builds(_time, st.datetimes(min_value=datetime(1601, 1, 1)), st.integers(0, 9_999_999))
"""With seven digits, and not before the first year of a table."""


def _tags(text: Texts) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(text.filter(lambda name: name != "$type"), text, max_size=3)


def _objects(text: Texts) -> st.SearchStrategy[dict[str, object]]:
    names = text.filter(lambda name: name != "$type")
    values: st.SearchStrategy[object] = st.recursive(
        st.none() | st.booleans() | integers | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=4,
    )
    return st.dictionaries(names, values, max_size=3)


def _instances(text: Texts) -> st.SearchStrategy[history.OrchestrationInstance]:
    return st.builds(history.OrchestrationInstance, text, st.none() | text)


def _failures(text: Texts, depth: int = 3) -> st.SearchStrategy[history.FailureDetails]:
    optional = st.none() | text
    inner = st.none() | _failures(text, depth - 1) if depth else st.none()
    return st.builds(history.FailureDetails, text, text, optional, inner, st.booleans(), st.none() | _objects(text))


def events_of(text: Texts) -> Mapping[type, st.SearchStrategy[history.HistoryEvent]]:
    """Return a strategy for every class of event, by class, with texts of this kind."""
    optional = st.none() | text
    tags = st.none() | _tags(text)
    base = {"event_id": integers, "is_played": st.booleans(), "timestamp": times}
    result = {"task_scheduled_id": integers, "result": optional}
    failure = {"failure": st.none() | _failures(text)}
    failed = {"task_scheduled_id": integers, "reason": optional, "details": optional, **failure}
    trace = {"parent_trace": st.none() | st.builds(history.TraceContext, text, *[optional] * 4)}
    parents = st.builds(history.ParentInstance, text, _instances(text), integers, optional)
    call = {"name": text, "version": optional, "input": optional, "tags": tags}
    return {
        model: st.builds(model, **base, **own)
        for model, own in {
            history.ExecutionStarted: {
                "instance": _instances(text),
                "parent": st.none() | parents,
                **call,
                "correlation": optional,
                **trace,
                "scheduled_start": st.none() | times,
                "generation": st.none() | integers,
                "generate_new_trace": st.booleans(),
            },
            history.ExecutionCompleted: {"status": st.sampled_from(RuntimeStatus), "result": optional, **failure},
            history.ExecutionTerminated: {"input": optional},
            history.TaskScheduled: {**call, **trace},
            history.TaskCompleted: result,
            history.TaskFailed: failed,
            history.SubOrchestrationCreated: {**call, "instance_id": text, "client_span_id": optional},
            history.SubOrchestrationCompleted: result,
            history.SubOrchestrationFailed: failed,
            history.TimerCreated: {"fire_at": times},
            history.TimerFired: {"timer_id": integers, "fire_at": times},
            history.OrchestratorStarted: {},
            history.OrchestratorCompleted: {},
            history.EventSent: {"instance_id": text, "name": text, "input": optional},
            history.EventRaised: {"name": text, "input": optional, **trace},
            history.GenericEvent: {"data": optional},
            history.ExecutionSuspended: {"reason": optional},
            history.ExecutionResumed: {"reason": optional},
            history.ExecutionRewound: {
                "reason": optional,
                "parent_execution_id": optional,
                "instance_id": optional,
                **trace,
            },
        }.items()
    }


EVENTS = events_of(texts)
events = st.one_of(*EVENTS.values())
storable_events = st.one_of(*events_of(storable_texts).values())

envelopes = st.builds(
    Envelope,
    message=st.builds(TaskMessage, event=events, target=_instances(texts), context_tags=st.none() | _tags(texts)),
    activity_id=st.uuids().map(str),
    sequence_number=st.integers(0, 2**63 - 1),
    episode=st.none() | integers,
    sender=_instances(texts),
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
