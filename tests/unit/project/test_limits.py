"""``docs/reference/limits.md`` says what the code says, and every line of it is held by a test that is there."""

import ast
import os
import re
import signal
from functools import cache
from pathlib import Path

import pytest

from taskhub import TaskHubSettings
from taskhub.codec.keys import MAX_INSTANCE_ID_UNITS
from taskhub.codec.messages import MAX_INLINE_MESSAGE_BYTES
from taskhub.codec.overflow import MAX_COLUMN_UNITS, SERVICE_COLUMN_UNITS
from taskhub.core.polling import abandon_seconds, retry_delay
from taskhub.core.timers import MAX_HIDDEN_SECONDS
from taskhub.host import management, process, routes, server, server_limits, workers
from taskhub.host.http_calls import DEFAULT_TIMEOUT_SECONDS, MAX_REDIRECTS, MAX_RESPONSE_BYTES
from taskhub.names import HubNames
from taskhub.runtime.checkpoints import MAX_PARALLEL_PUTS
from taskhub.runtime.history_store import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from taskhub.runtime.outages import BRIEF_ATTEMPTS, MAX_ASKED_SECONDS
from taskhub.runtime.table_leases import STRETCH
from taskhub.storage import sqlite
from taskhub.storage.azure import account
from tests.support.pages import table_rows

ROOT = Path(__file__).parents[3]
S = TaskHubSettings()
LIMITS = server_limits.Limits()


def numbers(*values):
    return [f"{value:,g}" if isinstance(value, float) else f"{value:,}" for value in values]


EXPECTED = {
    "message on a queue": numbers(MAX_INLINE_MESSAGE_BYTES),
    "column of a table": numbers(MAX_COLUMN_UNITS),
    "input, result, event, state of an entity": [],
    "custom status": numbers(S.max_custom_status_kilobytes),
    "request body, main port": numbers(server_limits.MAX_BODY_BYTES),
    "request body, loopback port of durable clients": [],
    "answer to `call_http`": numbers(MAX_RESPONSE_BYTES),
    "name of a task hub": ["3", "49"],
    "instance id over HTTP": numbers(routes.MAX_ID_CHARACTERS),
    "instance id": numbers(MAX_INSTANCE_ID_UNITS),
    "name or version of an orchestration": numbers(SERVICE_COLUMN_UNITS),
    "readings of a message": [],
    "attempts of a client": numbers(BRIEF_ATTEMPTS),
    "pause that a service asks for": numbers(MAX_ASKED_SECONDS),
    "partitions of a hub": ["1", "16", str(S.partition_count)],
    "history of an execution": [],
    "what one execution may ask for": numbers(S.max_orchestration_actions),
    "fan-out": [],
    "events of one transaction": numbers(MAX_BATCH_EVENTS, MAX_BATCH_BYTES),
    "operations of one entity batch": numbers(S.max_entity_batch),
    "messages of one read of a control queue": numbers(S.control_queue_batch_size),
    "control messages in memory": numbers(S.control_queue_buffer_threshold),
    "activities, instances and entities at a time": [str(S.max_concurrent_activities // (os.cpu_count() or 1))],
    "messages put at a time by one episode": numbers(MAX_PARALLEL_PUTS),
    "memory of warm instances": numbers(S.max_warm_mebibytes),
    "timers in memory": numbers(S.max_local_timers),
    "events of warm instances": numbers(S.max_warm_history_events),
    "instances of one page of a list": numbers(routes.DEFAULT_PAGE, routes.MAX_PAGE),
    "clients of hubs that requests named": numbers(management._MAX_OTHER_HUBS),
    "headers of a request": numbers(server._MAX_HEADERS),
    "worker processes by `FUNCTIONS_WORKER_PROCESS_COUNT`": numbers(workers.MAX_BY_SETTING),
    "redirections of one `call_http`": numbers(MAX_REDIRECTS),
    "timer, delayed start, delayed signal": [],
    "one timer of the SDK": numbers(S.long_timer_days),
    "wait between two attempts of a retry": numbers(S.long_timer_days),
    "head of a first request": numbers(LIMITS.head_seconds),
    "head of a next request": numbers(LIMITS.idle_seconds),
    "pace of a request's body": numbers(LIMITS.body_bytes_per_second, LIMITS.body_grace_seconds),
    "client that takes nothing of its answer": numbers(LIMITS.stuck_seconds),
    "wait over HTTP": numbers(management._LEAST_POLL_SECONDS),
    "orchestration": [],
    "activity": [],
    "request of `call_http`": numbers(DEFAULT_TIMEOUT_SECONDS),
    "message in work": numbers(S.control_queue_visibility_seconds),
    "message that cannot be handled or read": numbers(abandon_seconds(31)),
    "look at an idle queue": numbers(S.min_polling_interval_seconds, S.max_polling_interval_seconds),
    "lease of a partition": numbers(
        S.lease_interval_seconds,
        S.lease_round_seconds,
        STRETCH * S.lease_interval_seconds,
        STRETCH * S.lease_round_seconds,
    ),
    "end of a lease before which nothing is sent": numbers(S.fence_margin_seconds),
    "app lease": numbers(S.app_lease_seconds, S.app_lease_renew_seconds, S.app_lease_acquire_seconds),
    "requests to entities out of order": numbers(S.entity_reorder_window_seconds / 60),
    "stop, Ctrl+C": numbers(process._GRACE_SECONDS[signal.SIGINT]),
    "stop, SIGTERM": numbers(process._GRACE_SECONDS[signal.SIGTERM]),
    "wait for another process that writes": numbers(sqlite.BUSY_SECONDS),
    "rows looked at for one page": numbers(sqlite.MAX_SCANNED_ROWS),
    "machines": ["1"],
    "connecting": numbers(account.CONNECT_SECONDS),
    "answer": numbers(account.READ_SECONDS),
    "connections of a process": numbers(account.MAX_CONNECTIONS),
}
"""The numbers in the value of each line, in order; from the code wherever it has a name for them."""


def limits():
    return [row for row in table_rows(ROOT / "docs/reference/limits.md") if row[0] != "limit"]


@cache
def names_in(path):
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_the_page_has_a_line_for_every_limit_and_no_other():
    assert sorted(row[0] for row in limits()) == sorted(EXPECTED)


@pytest.mark.parametrize("row", limits(), ids=lambda row: row[0])
def test_a_line_says_what_the_code_says(row):
    value = row[1].replace("UTF-8", "").replace("UTF-16", "")

    assert re.findall(r"\d[\d,.]*\d|\d", value) == EXPECTED[row[0]]


@pytest.mark.parametrize("row", limits(), ids=lambda row: row[0])
def test_a_line_is_held_by_a_test_that_is_there(row):
    path, _, name = row[-1].strip("`").partition("::")

    assert name in names_in(path)


def test_numbers_in_words_are_the_code_s():
    text = (ROOT / "docs/reference/limits.md").read_text(encoding="utf-8")

    assert MAX_HIDDEN_SECONDS == 7 * 24 * 3600
    assert f"legs of {S.long_timer_leg_days:g} days" in text
    assert "the queue's seven days" in text
    assert retry_delay(30, 1.0) == 30.0
    assert "growing pauses of up to 30 seconds" in text
    assert HubNames.of("H" * 49).history_table
