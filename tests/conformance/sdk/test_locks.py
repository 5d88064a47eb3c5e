"""Critical sections against the recordings of the real extension, whose states were written by hand there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import OrchestrationSession, Returned, SendEvent

GOLDEN = Path(__file__).parents[2] / "golden" / "extension" / "entity_locks"


def account(key: str) -> df.EntityId:
    return df.EntityId("Account", key)


def transfer(context: Any) -> Any:
    with (yield context.lock_entities([account("b"), account("a"), account("b")])):
        first = yield context.call_entity(account("a"), "add", -10)
        second = yield context.call_entity(account("b"), "add", 10)
    return [first, second, (yield context.call_entity(account("a"), "get"))]


def never_released(context: Any) -> Any:
    yield context.lock_entities([account("a"), account("b")])
    return (yield context.call_entity(account("a"), "add", 1))


def after_that(context: Any) -> Any:
    with (yield context.lock_entities([account("a")])):
        return (yield context.call_entity(account("a"), "get"))


def signals_unlocked(context: Any) -> Any:
    with (yield context.lock_entities([account("e1")])):
        context.signal_entity(account("e2"), "add", 1)


FLOWS = {flow.__name__: flow for flow in (transfer, never_released, after_that, signals_unlocked)}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


TRIGGERS = [row for row in rows("triggers.jsonl") if row["kind"] == "orchestrator" and row["name"] in FLOWS]
MESSAGES = [row["message"] for row in rows("messages.jsonl") if row["message"]["TaskMessage"] is not None]
IDS = [f"{row['name']}-{row['n']}" for row in TRIGGERS]


@pytest.mark.parametrize("row", TRIGGERS, ids=IDS)
def test_the_json_shell_asks_for_what_was_written_by_hand(row: dict[str, Any]) -> None:
    state = json.loads(df.Orchestrator.create(FLOWS[row["name"]])(row["trigger"]))
    recorded = json.loads(row["answer"])

    assert [comparable(action) for action in state["actions"][0]] == [
        comparable(action) for action in recorded["actions"][0]
    ]
    assert state["isDone"] == recorded["isDone"]


def comparable(action: dict[str, Any]) -> dict[str, Any]:
    if action["actionType"] == 13:
        # In any order, duplicates count once, letter case of names does not.
        keys = {(entity["name"].lower(), entity["key"]) for entity in action["lockSet"]}
        return {"actionType": 13, "lockSet": keys}
    return action


@pytest.mark.parametrize("row", TRIGGERS, ids=IDS)
def test_the_live_shell_sends_what_the_extension_sent(row: dict[str, Any]) -> None:
    context = json.loads(row["trigger"])
    history = context["history"]
    last = max(i for i, event in enumerate(history) if event["EventType"] == 12)
    execution = next(e for e in history if e["EventType"] == 0)["OrchestrationInstance"]["ExecutionId"]
    scheduled = {event["EventId"] for event in history if event["EventType"] == 14}

    decisions = OrchestrationSession(FLOWS[row["name"]], instance_id=context["instanceId"]).advance(
        history, replayed=last
    )

    # What the extension sent in this episode or later; ids tell which is which.
    address = {"InstanceId": context["instanceId"], "ExecutionId": execution}
    sent = [message["TaskMessage"] for message in MESSAGES if message["Sender"] == address]
    sent = [message for message in sent if message["OrchestrationInstance"]["InstanceId"].startswith("@")]
    new = sent[len(scheduled) : len(scheduled) + len(decisions.operations)]
    assert [shape(operation) for operation in decisions.operations] == [
        (
            message["OrchestrationInstance"]["InstanceId"],
            message["Event"]["Name"],
            without_wall_clock(message["Event"]["Input"]),
        )
        for message in new
    ]
    assert [operation.task_id for operation in decisions.operations] == list(
        range(len(scheduled), len(scheduled) + len(new))
    )
    assert isinstance(decisions.outcome, Returned) == json.loads(row["answer"])["isDone"]
    if decisions.outcome is not None:
        assert len(sent) == len(scheduled) + len(new)  # with what is released at the end


def shape(operation: Any) -> Any:
    assert isinstance(operation, SendEvent)
    return operation.instance_id, operation.name, without_wall_clock(operation.input)


def without_wall_clock(text: str) -> Any:
    found = json.loads(text)
    return [(key, value) for key, value in found.items() if key != "requestTime"]
