"""Replays recorded histories against today's code, and says where they part.

A whole history is fed episode by episode, as a worker feeds it that takes over the instance. Of what the management API
shows, the rest is found by running the code: each thing that it asks for is looked up among those that the history
says were asked for, by kind and name, the oldest first. Times of episodes are not in it; those of the events are taken.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.durable_functions._serialization import df_dumps
from azure.durable_functions.errors import NonDeterminismError
from azure.durable_functions.replay import (
    CreateTimer,
    Decisions,
    OrchestrationSession,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    StartSubOrchestration,
)
from azure.durable_functions.testing._waiting import waits_of_session, where
from azure.durable_functions.testing.errors import DurableWorldError, HistoryMismatch

from taskhub.model.history import HistoryEventBase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from azure.durable_functions.replay import Operation
    from azure.durable_functions.testing.recordings import Recording

_NUMBERS = {kind.type_name: kind.type_number for kind in HistoryEventBase.__subclasses__()}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_STARTED, _COMPLETED = 12, 13
_ENDS = (1, 3)
_SCHEDULING = {4: "activity", 7: "sub-orchestration", 10: "timer", 14: "event to"}
_DOINGS = ("has ended", "returns", "fails", "continues", "goes on", "waits")
_ANSWERED_BY = {"TaskCompleted": 4, "TaskFailed": 4}
_ANSWERED_BY |= {"SubOrchestrationInstanceCompleted": 7, "SubOrchestrationInstanceFailed": 7}


@dataclass(frozen=True)
class Replayed:
    """How today's code does on a recorded history."""

    instance_id: str
    name: str
    """Of the orchestrator."""
    output: Any
    """What it returns; ``None`` if it has not come to its end."""
    waits_for: tuple[str, ...]
    """For what it waits where the history ends; nothing if it has ended."""


class Replay:
    """One history, and the code that it is replayed against.

    Args:
        recording: the history.
        function: today's orchestrator.
    """

    def __init__(self, recording: Recording, function: Callable[..., Any]) -> None:
        self._recording = recording
        self._session = OrchestrationSession(
            function, instance_id=recording.instance_id, parent_instance_id=recording.parent_id
        )
        self._last: Decisions | None = None
        self._unrecorded: dict[int, Operation] = {}

    def run(self) -> Replayed:
        """Replay it all.

        Raises:
            HistoryMismatch: the code does not agree.
        """
        try:
            if self._recording.is_view:
                self._run_view()
            else:
                self._run_whole()
            outcome = None if self._last is None else self._last.outcome
            output = json.loads(outcome.result) if isinstance(outcome, Returned) and outcome.result else None
            waits = waits_of_session(self._session)
            return Replayed(self._recording.instance_id, self._recording.name, output, waits.tasks)
        finally:
            self._session.close()

    # ---- whole histories

    def _run_whole(self) -> None:
        events = self._recording.events
        first = 0
        for index, event in enumerate(events):
            if event["EventType"] == _COMPLETED or index + 1 == len(events):
                self._feed(events[first : index + 1], index)
                first = index + 1
                if event["EventType"] == _COMPLETED:
                    self._check_all_recorded(index)
                    self._check_not_too_early(index)
        self._check_end(events)

    def _feed(self, events: Sequence[Mapping[str, Any]], index: int) -> None:
        self._last = decisions = self._session.advance(events, replayed=len(events))
        for operation in decisions.operations:
            self._unrecorded[operation.task_id] = operation
        for event in events:
            if event["EventType"] in _SCHEDULING:
                self._unrecorded.pop(event["EventId"], None)
        error = self._session._executor.error
        if isinstance(error, NonDeterminismError):
            found = self._index_of(error, index)
            place = f"{error.file}, line {error.line}: {error.source}" if error.file else None
            raise self._mismatch(found, error.actual or self._doing(), place)

    def _index_of(self, error: NonDeterminismError, index: int) -> int:
        """Return the index of the event that the code did not ask for."""
        if self._recording.is_view:
            return index
        same = (i for i, each in enumerate(self._recording.events) if each == error.event)
        return next(same, index)

    def _check_all_recorded(self, index: int) -> None:
        if self._unrecorded:
            operation = self._unrecorded[min(self._unrecorded)]
            raise self._mismatch(index, _asked(operation), where(self._session._executor), is_missing=True)

    def _check_not_too_early(self, index: int) -> None:
        outcome = None if self._last is None else self._last.outcome
        rest = self._recording.events[index + 1 :]
        later = next((i for i, each in enumerate(rest, index + 1) if each["EventType"] in _SCHEDULING), None)
        if outcome is not None and later is not None:
            raise self._mismatch(later, _ended(outcome), None)

    def _check_end(self, events: Sequence[Mapping[str, Any]]) -> None:
        outcome = None if self._last is None else self._last.outcome
        at = next((i for i, each in enumerate(events) if _number(each) in _ENDS), None)
        status = None if at is None else events[at].get("OrchestrationStatus")
        if at is not None and status in (1, "Completed") and not isinstance(outcome, Returned):
            raise self._mismatch(at, _ended(outcome), where(self._session._executor))
        if at is None and isinstance(outcome, (Returned, Raised)):
            raise self._mismatch(len(events) - 1, _ended(outcome), None, is_last=True)

    # ---- what the management API shows

    def _run_view(self) -> None:
        events = self._recording.events
        self._check_has_results(events)
        entries = _entries(events)
        batch: list[dict[str, Any]] = []
        requests: dict[str, str] = {}
        for index, event in enumerate(events):
            arrived = self._arrived(index, event, entries, requests)
            if arrived is None:
                continue
            batch += [_raw(_STARTED, _time_of(event, events[index + 1 :])), arrived]
            self._feed(batch, index)
            batch = self._recorded(index, entries, requests)
            batch.append(_raw(_COMPLETED, str(event["Timestamp"])))
        left = [entry for entry in entries if entry.task_id is None]
        if left:
            raise self._mismatch(left[0].index, self._doing(), where(self._session._executor))
        self._check_end(events)

    def _check_has_results(self, events: Sequence[Mapping[str, Any]]) -> None:
        done = [each for each in events if each["EventType"] in ("TaskCompleted", "SubOrchestrationInstanceCompleted")]
        if done and not any("Result" in each for each in done):
            raise DurableWorldError(
                f"{self._recording.source} was recorded without the results of activities, which a replay needs: get "
                "it with showHistory=true&showHistoryOutput=true, or with taskhub instances history --json"
            )

    def _recorded(self, index: int, entries: list[_Entry], requests: dict[str, str]) -> list[dict[str, Any]]:
        """Return the scheduling events of what the code has just asked for."""
        found = []
        for task_id in sorted(self._unrecorded):
            operation = self._unrecorded[task_id]
            entry = _matching(operation, entries)
            if entry is None:
                waiting = [each for each in entries if each.task_id is None]
                if not waiting:
                    raise self._mismatch(index, _asked(operation), where(self._session._executor), is_missing=True)
                raise self._mismatch(waiting[0].index, _asked(operation), where(self._session._executor))
            entry.task_id = task_id
            if entry.kind == 14:
                requests[_request_id(entry.event.get("Input"))] = _request_id(getattr(operation, "input", None))
            found.append(_scheduling(entry, operation))
        return found

    def _arrived(
        self, index: int, event: Mapping[str, Any], entries: list[_Entry], requests: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """Return what an event of the view is to the code, ``None`` for what it does not see."""
        kind, at = event["EventType"], str(event["Timestamp"])
        if kind == "ExecutionStarted":
            instance = {"InstanceId": self._recording.instance_id, "ExecutionId": "recorded"}
            name = self._recording.name
            return _raw(0, at, Name=name, Input=event.get("Input"), OrchestrationInstance=instance)
        if kind == "EventRaised":
            name = str(event["Name"])
            return _raw(15, at, Name=requests.get(name, name), Input=event.get("Input"))
        if kind in _ANSWERED_BY:
            entry = next(each for each in entries if each.answer == index)
        elif kind == "TimerFired":
            open_timers = [
                each for each in entries if each.kind == 10 and each.answer is None and each.task_id is not None
            ]
            same = [each for each in open_timers if each.event.get("FireAt") == event.get("FireAt")]
            if not same and not open_timers:
                raise self._mismatch(index, self._doing(), where(self._session._executor))
            entry = (same or open_timers)[0]
            entry.answer = index
            return _raw(11, at, TimerId=entry.task_id, FireAt=event.get("FireAt"))
        else:
            return None
        if entry.task_id is None:
            raise self._mismatch(index, self._doing(), where(self._session._executor))
        if kind.endswith("Completed"):
            result = event.get("Result")
            text = None if result is None else json.dumps(result, separators=(",", ":"), ensure_ascii=False)
            return _raw(_NUMBERS[kind], at, TaskScheduledId=entry.task_id, Result=text)
        details: dict[str, Any] = {key: event.get(key) for key in ("Reason", "Details", "FailureDetails")}
        return {**_raw(_NUMBERS[kind], at, TaskScheduledId=entry.task_id), **details}

    # ---- saying it

    def _doing(self) -> str | None:
        """Return what the code does at present: how it ended, or for what it waits."""
        executor = self._session._executor
        if executor.is_done:
            return _ended(Returned(df_dumps(executor.output)))
        if isinstance(executor.error, NonDeterminismError) and executor.error.file is None:
            return "has ended" if executor.output is None else _ended(Returned(df_dumps(executor.output)))
        if executor.error is not None and not isinstance(executor.error, NonDeterminismError):
            return f"fails with {executor.error}"
        tasks = waits_of_session(self._session).tasks
        return f"waits for {' and '.join(tasks)}" if tasks else None

    def _mismatch(
        self, index: int, actual: str | None, place: str | None, *, is_missing: bool = False, is_last: bool = False
    ) -> HistoryMismatch:
        recording = self._recording
        event = recording.events[index]
        lines = [
            f"the code of orchestrator '{recording.name}' no longer agrees with the history of instance "
            f"'{recording.instance_id}' in {recording.source}:",
            f"  event {index + 1} of {len(recording.events)}: {_shown(event)}",
        ]
        if is_missing:
            lines[-1] = f"  up to event {index + 1} of {len(recording.events)} the history holds nothing of it:"
            lines.append(f"  the code asks for {actual}")
        elif is_last:
            lines.append(f"  was the last, and the instance went on waiting; the code {actual}")
        elif actual is None:
            lines.append("  the code has not asked for it")
        else:
            verb = "" if actual.startswith(_DOINGS) else "asks for "
            lines.append(f"  the code {verb}{actual} instead")
        if place:
            lines.append(f"  at {place}")
        lines.append("Instances that began before the change would fail; see docs/howto/determinism.md.")
        return HistoryMismatch("\n".join(lines), index=index, event=dict(event), actual=actual, place=place)


@dataclass
class _Entry:
    """Something that the view says was asked for."""

    kind: int
    name: str
    scheduled: str
    index: int
    """Of the event that tells of it."""
    event: Mapping[str, Any]
    answer: int | None = None
    """Index of what answers it."""
    task_id: int | None = None
    """What it is in the replay, once the code has asked for it."""


def _entries(events: Sequence[Mapping[str, Any]]) -> list[_Entry]:
    found = []
    for index, event in enumerate(events):
        kind, at = event["EventType"], str(event["Timestamp"])
        if kind in _ANSWERED_BY:
            scheduled = str(event.get("ScheduledTime") or at).replace("+00:00", "Z")
            name = str(event.get("FunctionName"))
            found.append(_Entry(_ANSWERED_BY[kind], name, scheduled, index, event, answer=index))
        elif kind in ("TaskScheduled", "SubOrchestrationInstanceCreated", "EventSent", "TimerCreated"):
            name = str(event.get("InstanceId" if kind == "EventSent" else "Name", ""))
            found.append(_Entry(_NUMBERS[kind], name, at, index, event))
    return sorted(found, key=lambda entry: _sortable(entry.scheduled))


def _sortable(time: str) -> str:
    head, _, fraction = time.removesuffix("Z").partition(".")
    return f"{head}.{fraction.ljust(7, '0')}"


def _matching(operation: Operation, entries: Sequence[_Entry]) -> _Entry | None:
    kind, name = _kind_of(operation), _name_of(operation)
    same = [
        entry
        for entry in entries
        if entry.task_id is None and entry.kind == kind and (kind == 10 or entry.name.lower() == name.lower())
    ]
    asked = getattr(operation, "input", None)
    alike = [entry for entry in same if asked is not None and entry.event.get("Input") == asked]
    return next(iter(alike or same), None)


def _kind_of(operation: Operation) -> int:
    match operation:
        case ScheduleActivity():
            return 4
        case StartSubOrchestration():
            return 7
        case CreateTimer():
            return 10
        case _:
            return 14


def _name_of(operation: Operation) -> str:
    match operation:
        case CreateTimer():
            return operation.fire_at.isoformat()
        case ScheduleActivity() | StartSubOrchestration():
            return operation.name
        case _:
            return operation.instance_id


def _asked(operation: Operation) -> str:
    noun = _SCHEDULING[_kind_of(operation)]
    return f"timer until {_name_of(operation)}" if noun == "timer" else f"{noun} '{_name_of(operation)}'"


def _ended(outcome: object) -> str:
    match outcome:
        case Returned():
            return f"returns {outcome.result}"
        case Raised():
            return f"fails with {outcome.error}"
        case Restarted():
            return "continues as new"
        case _:
            return "goes on waiting"


def _scheduling(entry: _Entry, operation: Operation) -> dict[str, Any]:
    event = entry.event
    at = entry.scheduled
    match operation:
        case CreateTimer():
            return _raw(10, at, operation.task_id, FireAt=event.get("FireAt"))
        case ScheduleActivity():
            return _raw(4, at, operation.task_id, Name=operation.name, Version="", Input=None)
        case StartSubOrchestration():
            instance_id = event.get("InstanceId") or operation.instance_id or "recorded"
            return _raw(7, at, operation.task_id, Name=operation.name, Version=None, InstanceId=instance_id, Input=None)
        case _:
            return _raw(14, at, operation.task_id, InstanceId=operation.instance_id, Name=operation.name, Input=None)


def _request_id(text: Any) -> str:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return ""
    return str(value.get("id", "")) if isinstance(value, dict) else ""


def _time_of(event: Mapping[str, Any], later: Sequence[Mapping[str, Any]]) -> str:
    """Return when the episode of an event began, as well as the view tells: not after what was asked for in it."""
    at = str(event["Timestamp"])
    following = str(later[0]["Timestamp"]) if later else None
    scheduled = [str(each["ScheduledTime"]).replace("+00:00", "Z") for each in later if each.get("ScheduledTime")]
    asked = sorted(time for time in scheduled if _sortable(time) >= _sortable(at))
    if asked and (following is None or _sortable(asked[0]) <= _sortable(following)):
        return asked[0]
    return at


def _raw(kind: int, at: str, event_id: int = -1, **values: Any) -> dict[str, Any]:
    return {"EventType": kind, **values, "EventId": event_id, "IsPlayed": True, "Timestamp": at}


def _number(event: Mapping[str, Any]) -> int:
    kind = event["EventType"]
    return kind if isinstance(kind, int) else _NUMBERS.get(kind, -1)


def _shown(event: Mapping[str, Any]) -> str:
    kind = event["EventType"]
    name = kind if isinstance(kind, str) else _NAMES.get(kind, str(kind))
    what = event.get("FunctionName") or event.get("Name") or event.get("FireAt")
    return f"{name}{f' of {what!r}' if what else ''} at {event.get('Timestamp')}"
