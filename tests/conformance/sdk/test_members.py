"""What ``dir()`` shows of public objects: the names of the reference, and additions that are listed here.

The reference's names are recorded by ``record_members.py``. Whoever adds a public name adds it here, to the docs and to
the changelog; what only the engine needs has an underscore.
"""

import json
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import pytest

from tests.conformance.sdk.record_members import BINDING, examples, members

RECORDED: dict[str, list[str]] = json.loads(Path(__file__).with_name("members-1.7.0.json").read_text(encoding="utf-8"))
RECORDED_ALL: list[str] = json.loads(Path(__file__).with_name("surface-1.7.0.json").read_text(encoding="utf-8"))["all"]

ADDED_TO_THE_PACKAGE = {
    # names of the 2.x preview
    "DurableEntity",
    "DurableFunctionsClient",
    "DurableHttpRequest",
    "DurableHttpResponse",
    "DurableOrchestrationStatus",
    "EntityStateResponse",
    "PurgeHistoryResult",
    "RetryPolicy",
    "SyncDurableFunctionsClient",
    "TokenSource",
    # for call_http
    "HttpRetryOptions",
    # for apps with function.json
    "Activity",
    # for annotations
    "ActivityFunction",
    "OrchestratorFunction",
    "Task",
    "TaskBase",
    # what goes wrong
    "CorruptHistoryError",
    "DurableClientError",
    "FailureDetails",
    "ForeignAwaitableError",
    "FunctionNotFoundError",
    "LockingRulesError",
    "MalformedContextError",
    "NonDeterminismError",
    "PayloadDecodeError",
    "TaskFailedError",
    "UnsupportedByHostError",
}
RETRIES = {"backoff_coefficient", "max_retry_interval_in_milliseconds", "retry_timeout_in_milliseconds"}
ADDED = {
    "CallHttpAction": {"retry_options"},  # as of other calls that are tried again
    "DurableHttpRequest": {"asynchronous_pattern_enabled", "retry_options", "timeout"},
    "DurableOrchestrationContext": {"create_replay_safe_logger", "lock_entities", "logger"},
    "LongTimerTask": {"is_cancelled"},  # as of other timers
    "RetryOptions": RETRIES,
}

BOOKKEEPING = {"completed_tasks", "pending_tasks"}
LEFT_OUT = {
    # Attributes in which the reference's engine keeps its books; ours keeps other ones.
    "DurableOrchestrationContext": {"decision_started_event", "deferred_tasks", "open_tasks"},
    "LongTimerTask": {*BOOKKEEPING, "action"},
    "WhenAllTask": BOOKKEEPING,
    "WhenAnyTask": BOOKKEEPING,
    "RetryAbleTask": {*BOOKKEEPING, "actions", "context", "error", "is_waiting_on_timer", "num_attempts"},
}

NEWER_CLIENT = {
    "get_all_orchestration_states",
    "get_entity",
    "get_orchestration_state",
    "purge_orchestration",
    "purge_orchestrations_by",
    "raise_orchestration_event",
    "restart_orchestration",
    "resume_orchestration",
    "rewind_orchestration",
    "schedule_new_orchestration",
    "suspend_orchestration",
    "terminate_orchestration",
    "wait_for_orchestration_completion",
}


@pytest.fixture(scope="module")
def shown():
    return {name: members(value) for name, value in examples().items()}


def test_the_package_has_the_references_names_and_those_listed():
    assert set(df.__all__) - set(RECORDED_ALL) == ADDED_TO_THE_PACKAGE


def test_dir_of_the_package_shows_its_names_and_modules():
    modules = {"constants", "decorators", "entity", "errors", "models", "orchestrator"}

    assert {name for name in dir(df) if not name.startswith("_")} == {*df.__all__, *modules}


@pytest.mark.parametrize("name", RECORDED)
def test_an_object_shows_the_references_names_and_those_listed(shown, name):
    assert set(shown[name]) - set(RECORDED[name]) == ADDED.get(name, set())
    assert set(RECORDED[name]) - set(shown[name]) == LEFT_OUT.get(name, set())


def test_clients_show_the_references_names_and_those_of_the_2x_preview():
    wanted = {*RECORDED["DurableOrchestrationClient"], *NEWER_CLIENT}

    assert set(members(df.DurableFunctionsClient(BINDING))) == wanted
    assert set(members(df.SyncDurableFunctionsClient(BINDING))) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (df.Activity(), {"create"}),
        (df.DurableEntity(), {"get_state", "set_state", "delete"}),
        (df.DurableHttpResponse(200), {"status_code", "headers", "content", "from_json", "to_json"}),
        (df.HttpRetryOptions(1, 1), {*RECORDED["RetryOptions"], *RETRIES, "status_codes_to_retry"}),
        (
            df.RetryPolicy(timedelta(1), 1),
            {*RECORDED["RetryOptions"], *RETRIES, "first_retry_interval", "max_retry_interval", "retry_timeout"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_class_of_ours_shows_what_is_documented(value, wanted):
    assert set(members(value)) == wanted
