"""When two runs of a scenario of the extension, recorded or ours, count as alike."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from tests.support.lab import door_path, masked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.lab import Answer


def assert_alike(ours: Sequence[Answer], theirs: Sequence[Answer]) -> None:
    """Compare the answers to the same requests."""
    assert [str(each.method) + door_path(each.url) for each in ours] == [
        str(each.method) + door_path(each.url) for each in theirs
    ]
    for our, their in zip(ours, theirs, strict=True):
        assert comparable(our) == comparable(their), str(our)


def comparable(answer: Answer) -> tuple[Any, ...]:
    """Return what of an answer is the same in every run."""
    headers = {name: masked(answer.headers[name]) for name in ("Location", "Retry-After") if name in answer.headers}
    return answer.status, headers, comparable_body(masked(answer.body))


def comparable_body(text: str) -> Any:
    """Return a body without .NET's own words."""
    if not text:
        return text
    value = json.loads(text)
    if isinstance(value, dict) and "ExceptionMessage" in value:
        value["StackTrace"] = None
        if value["Message"] == "Invalid JSON content":
            value["ExceptionMessage"] = "..."  # Newtonsoft's words
        if "DurableTaskStorageException" in value["ExceptionType"]:
            value["ExceptionType"], value["ExceptionMessage"] = "System.ArgumentException", "..."
        if value["ExceptionType"] == "System.ArgumentException":
            value["ExceptionMessage"] = "..."
    if isinstance(value, dict) and value.get("Message", "").startswith("Could not parse JSON content"):
        value["Message"] = "..."
    if isinstance(value, dict) and "historyEvents" in value:
        value["historyEvents"] = parallel_results_sorted(value["historyEvents"])
    return value


def parallel_results_sorted(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results of activities and sub-orchestrations that ran side by side stand in any order, in the recordings too."""
    sorted_runs: list[dict[str, Any]] = []
    for is_result, run in itertools.groupby(events, key=lambda event: event["EventType"] in RESULTS):
        listed = list(run)
        sorted_runs += sorted(listed, key=json.dumps) if is_result else listed
    return sorted_runs


RESULTS = (
    "TaskCompleted",
    "TaskFailed",
    "SubOrchestrationInstanceCompleted",
    "SubOrchestrationInstanceFailed",
)
