"""Critical sections: their rules, and that they end when they should."""

from __future__ import annotations

import json
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import OrchestrationSession, Raised, Restarted, Returned, SendEvent

from tests.support.contexts import event, run

A, B, C = (df.EntityId("Account", key) for key in "abc")
OFFERED = {"upperSchemaVersionNew": 3}
GRANT = '{"result": "Lock Acquisition Completed"}'


class Live:
    """A session whose entities answer at once, each in an episode of its own."""

    def __init__(self, flow: Any) -> None:
        self.session = OrchestrationSession(flow, instance_id="i-1")
        self.sent: list[tuple[str, str]] = []
        self.answered = 0
        self.requests: list[str] = []
        self.last = self._feed(event(0, Name="Flow", Input=None))

    def answer(self, result: str = "1") -> None:
        text = GRANT if self.answered == 0 else json.dumps({"result": result})
        self.last = self._feed(event(15, Name=self.requests[self.answered], Input=text))
        self.answered += 1

    def _feed(self, arrived: dict[str, Any]) -> Any:
        decisions = self.session.advance([event(12), arrived])
        for operation in decisions.operations:
            assert isinstance(operation, SendEvent)
            message = json.loads(operation.input)
            self.sent.append((operation.instance_id, message.get("op") or operation.name))
            if operation.name == "op" and not message.get("signal"):
                self.requests.append(message["id"])
        return decisions


def locked(body: Any) -> Any:
    """Return an orchestrator that locks two entities and runs a generator within."""

    def flow(context: Any) -> Any:
        with (yield context.lock_entities([B, A])):
            return (yield from body(context))

    return flow


def test_entities_are_locked_in_their_order_and_released_on_leaving() -> None:
    def body(context: Any) -> Any:
        yield context.call_entity(A, "get")
        return "done"

    live = Live(locked(body))
    live.answer()
    live.answer()

    # The one that was called has moved to the end, as the extension has it.
    assert live.sent == [
        ("@account@a", "op"),
        ("@account@a", "get"),
        ("@account@b", "release"),
        ("@account@a", "release"),
    ]
    assert live.last.outcome == Returned('"done"')


async def asynchronous(context: Any) -> Any:
    with await context.lock_entities([A]):
        return await context.call_entity(A, "get")


def test_a_section_can_be_awaited() -> None:
    live = Live(asynchronous)
    live.answer()
    live.answer("7")

    assert live.last.outcome == Returned("7")
    assert live.sent[-1] == ("@account@a", "release")


def forbidden(what: Any) -> Any:
    def body(context: Any) -> Any:
        try:
            yield what(context)
        except df.LockingRulesError as error:
            return [error.entity, str(error)]

    return body


RULES: dict[str, tuple[Any, str]] = {
    "other entity": (lambda c: c.call_entity(C, "get"), "if it is not one of the locked entities"),
    "signal": (lambda c: c.signal_entity(A, "add"), "Must not signal a locked entity from a critical section"),
    "child": (lambda c: c.call_sub_orchestrator("Child"), "While holding locks, cannot call suborchestrators"),
    "retried child": (
        lambda c: c.call_sub_orchestrator_with_retry("Child", df.RetryOptions(1, 2)),
        "While holding locks, cannot call suborchestrators",
    ),
    "second section": (lambda c: c.lock_entities([C]), "Must not enter another critical section"),
    "two calls": (
        lambda c: c.task_all([c.call_entity(A, "x"), c.call_entity(A, "y")]),
        "while a prior call to the same entity is still pending",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_what_the_host_would_answer_with_silence_is_an_error_in_both_shells(rule: str) -> None:
    what, words = RULES[rule]
    flow = locked(forbidden(what))

    live = Live(flow)
    live.answer()
    if rule == "two calls":  # the first of them holds up the release
        assert isinstance(live.last.outcome, Raised)
        return
    request = live.requests[0]
    state = run(
        flow,
        event(14, 0, Name="op", Input=json.dumps({"id": request})),
        event(15, Name=request, Input=GRANT),
        **OFFERED,
    )

    assert words in state["output"][1]
    assert json.loads(live.last.outcome.result) == state["output"]
    assert [action["actionType"] for action in state["actions"][0]] == [13, 14]
    assert [name for _, name in live.sent] == ["op", "release", "release"]


def test_signals_to_others_and_activities_are_free() -> None:
    def body(context: Any) -> Any:
        context.signal_entity(C, "add")
        yield context.call_activity("A")

    live = OrchestrationSession(locked(body), instance_id="i-1")
    (lock,) = live.advance([event(12), event(0, Name="Flow", Input=None)]).operations
    decisions = live.advance([event(12), event(15, Name=json.loads(lock.input)["id"], Input=GRANT)])  # type: ignore[union-attr]

    assert [operation.task_id for operation in decisions.operations] == [1, 2]


def test_entities_cannot_be_called_before_the_grant() -> None:
    def flow(context: Any) -> Any:
        lock, call = context.lock_entities([A]), context.call_entity(A, "get")
        yield context.task_any([lock, call])
        return str(call.result)

    live = Live(flow)

    assert live.last.outcome == Returned(
        "\"Must await the completion of the lock request prior to calling any entity. (entity '@account@a')\""
    )


def test_an_entity_can_be_called_again_after_its_answer_and_freely_after_the_release() -> None:
    def flow(context: Any) -> Any:
        lock = yield context.lock_entities([A])
        yield context.call_entity(A, "one")
        yield context.call_entity(A, "two")
        lock.release()
        lock.release()
        yield context.call_entity(C, "three")

    live = Live(flow)
    for _ in range(4):
        live.answer()

    assert [name for _, name in live.sent] == ["op", "one", "two", "release", "three"]


def test_entities_are_released_when_the_code_in_the_section_raises_and_goes_on() -> None:
    def flow(context: Any) -> Any:
        try:
            with (yield context.lock_entities([A])):
                raise ValueError("within")
        except ValueError:
            yield context.call_activity("After")

    session = OrchestrationSession(flow, instance_id="i-1")
    (lock,) = session.advance([event(12), event(0, Name="Flow", Input=None)]).operations
    decisions = session.advance([event(12), event(15, Name=json.loads(lock.input)["id"], Input=GRANT)])  # type: ignore[union-attr]

    assert [operation.name for operation in decisions.operations] == ["release", "After"]  # type: ignore[union-attr]


@pytest.mark.parametrize("ending", ["return", "continue as new", "raise"])
def test_what_is_still_held_at_the_end_is_released_unless_the_code_fails(ending: str) -> None:
    def flow(context: Any) -> Any:
        yield context.lock_entities([A, B])
        if ending == "raise":
            raise ValueError("no")
        if ending == "continue as new":
            context.continue_as_new(1)

    live = Live(flow)
    live.answer()

    kinds = {"return": Returned, "continue as new": Restarted, "raise": Raised}
    assert isinstance(live.last.outcome, kinds[ending])
    assert [name for _, name in live.sent[1:]] == ([] if ending == "raise" else ["release", "release"])


def test_a_session_that_is_closed_releases_nothing() -> None:
    def body(context: Any) -> Any:
        yield context.wait_for_external_event("never")

    live = Live(locked(body))
    live.answer()

    live.session.close()

    assert live.session.advance([event(12)]).operations == ()


def test_a_section_is_replayed_from_its_history() -> None:
    def body(context: Any) -> Any:
        yield context.call_entity(A, "get")
        yield context.wait_for_external_event("go")

    flow = locked(body)
    warm = Live(flow)
    history = [event(12), event(0, Name="Flow", Input=None)]
    # Another program's ids: those of the history count.
    history += [event(14, 0, Name="op", InstanceId="@account@a", Input='{"id": "x"}'), event(13), event(12)]
    history += [event(15, Name="x", Input=GRANT)]
    history += [event(14, 1, Name="op", InstanceId="@account@a", Input='{"id": "y"}'), event(13), event(12)]
    history += [event(15, Name="y", Input='{"result": "1"}'), event(13), event(12), event(15, Name="go", Input="1")]

    decisions = OrchestrationSession(flow, instance_id="i-1").advance(history, replayed=len(history) - 2)

    assert warm.sent == [("@account@a", "op")]
    assert [(o.task_id, json.loads(o.input)["id"]) for o in decisions.operations] == [(2, "x"), (3, "x")]  # type: ignore[union-attr]


def test_a_host_that_does_not_offer_locks_is_told_apart() -> None:
    def flow(context: Any) -> Any:
        try:
            context.lock_entities([A])
        except df.UnsupportedByHostError as error:
            return [error.feature, str(error)]

    feature, text = run(flow)["output"]

    assert feature == "lock_entities"
    assert "does not offer schema version 3" in text


def test_no_entity_is_no_section() -> None:
    def flow(context: Any) -> Any:
        with pytest.raises(ValueError, match="At least one entity"):
            context.lock_entities([])

    run(flow, **OFFERED)
