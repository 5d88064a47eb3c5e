"""Random orchestrations through both shells, against a host that is simulated: same history, same answers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from azure.durable_functions.orchestrator import Orchestrator
from azure.durable_functions.replay import (
    CreateTimer,
    Decisions,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.program_strategies import programs
from tests.support.programs import orchestrator
from tests.support.simulated_host import SimulatedHost

# The worker says once per process that its loose mode, which decodes custom classes, will go.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

MARKER = "\n\n$OutOfProcData$:"
MAX_EPISODES = 30
MAX_GENERATIONS = 3


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(), seed=st.integers(0, 2**32))
def test_shells_agree_at_every_episode(program: list[Any], seed: int) -> None:
    rng = random.Random(seed)
    generation: Any = None
    for _ in range(MAX_GENERATIONS):
        host = SimulatedHost(orchestrator(program), rng, input=generation, event_names=("go", "stop"))
        outcome = play(host)
        if not isinstance(outcome, Restarted):
            break
        generation = json.loads(json.loads(outcome.input))


def play(host: SimulatedHost) -> Any:
    decisions = host.start()
    for _ in range(MAX_EPISODES):
        compare(host, decisions)
        if decisions.outcome is not None:
            return decisions.outcome
        host.commit(decisions)
        arrived = host.arrivals()
        if not arrived:
            return None
        decisions = host.episode(arrived)
    return None


def compare(host: SimulatedHost, warm: Decisions) -> None:
    assert host.cold() == warm
    decided = [*host.operations, *warm.operations]
    state, error = run_json_shell(host, schema=3)
    assert list(leaves(state["actions"])) == [
        asked(operation) for operation in decided if not is_follow_up(operation, decided)
    ]
    for schema in (3, 2, 0):
        if schema != 3:
            if any(is_leg(operation) for operation in decided):
                continue
            state, error = run_json_shell(host, schema=schema)
        assert state.get("customStatus") == (None if warm.custom_status is None else json.loads(warm.custom_status))
        assert_same_outcome(warm, state, error)


def run_json_shell(host: SimulatedHost, schema: int) -> tuple[dict[str, Any], str | None]:
    handle = Orchestrator.create(host.function)
    try:
        return json.loads(handle(host.context(schema))), None
    except Exception as error:
        text, marker, state = str(error).partition(MARKER)
        assert marker, text
        return json.loads(state), text


def assert_same_outcome(warm: Decisions, state: dict[str, Any], error: str | None) -> None:
    outcome = warm.outcome
    if outcome is None:
        assert (state["isDone"], error) == (False, None)
    elif isinstance(outcome, Returned):
        assert (state["isDone"], error) == (True, None)
        assert state.get("output") == (None if outcome.result is None else json.loads(outcome.result))
    elif isinstance(outcome, Raised):
        assert error is not None
        assert state["error"] == outcome.error
    else:
        assert (state["isDone"], error) == (True, None)
        last = list(leaves(state["actions"], all_kinds=True))[-1]
        assert last == (4, json.loads(outcome.input))


def leaves(actions: list[Any], *, all_kinds: bool = False) -> Any:
    """Yield what the JSON shell asked for, in order: kind and the properties that the live shell shows too."""
    for action in actions:
        if isinstance(action, list):
            yield from leaves(action, all_kinds=all_kinds)
        elif "compoundActions" in action:
            yield from leaves(action["compoundActions"], all_kinds=all_kinds)
        else:
            match action["actionType"]:
                case 0 | 1:
                    yield (0, action["functionName"], action["input"])
                case 2 | 3:
                    yield (2, action["functionName"], action["input"], action["instanceId"], action["version"])
                case 5:
                    yield (5, action["fireAt"])
                case 7 | 9:
                    yield (7, action["instanceId"], action["operation"], action["input"], action["actionType"] == 9)
                case 8:
                    yield (8, action["httpRequest"]["uri"])
                case 4 if all_kinds:
                    yield (4, action["input"])


def asked(operation: Any) -> Any:
    match operation:
        case ScheduleActivity(name="BuiltIn::HttpActivity"):
            return (8, json.loads(operation.input)[0]["uri"])
        case ScheduleActivity():
            return (0, operation.name, json.loads(operation.input)[0])
        case StartSubOrchestration():
            return (2, operation.name, json.loads(operation.input), operation.instance_id, operation.version)
        case CreateTimer():
            return (5, operation.fire_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        case SendEvent():
            request = json.loads(operation.input)
            return (7, operation.instance_id, request["op"], json.loads(request["input"]), request.get("signal", False))
    raise AssertionError(operation)


def is_follow_up(operation: Any, decided: list[Any]) -> bool:
    """Whether the host makes it by itself under the JSON protocol: timers and later attempts of retries."""
    if isinstance(operation, CreateTimer):
        return operation.fire_at.microsecond == 0
    name = getattr(operation, "name", "")
    if not name.startswith("retried"):
        return False
    first = next(other for other in decided if getattr(other, "name", None) == name)
    return operation.task_id != first.task_id


def is_leg(operation: Any) -> bool:
    return (
        isinstance(operation, CreateTimer)
        and operation.fire_at.microsecond % 250_000 == 0
        and operation.fire_at.microsecond != 0
    )


@pytest.mark.parametrize("count", [1, 3])
def test_a_long_timer_takes_as_many_legs_in_both_shells(count: int) -> None:
    host = SimulatedHost(orchestrator([["yield", ["timer", count * 35_999]]]), random.Random(1))

    outcome = play(host)

    assert outcome == Returned("[null]")
    legs = [operation for operation in host.operations if isinstance(operation, CreateTimer)]
    assert len(legs) == {1: 1, 3: 6}[count]
