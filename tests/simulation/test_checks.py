"""The checks at every write, each on a mistake that it must show and on what is none."""

import datetime

import pytest

from taskhub.codec.keys import SENTINEL
from taskhub.names import HubNames
from taskhub.storage.interception import Call
from taskhub.storage.port import Row, TableWrite, Write
from tests.simulation.agreement import Agreement
from tests.simulation.checks import Violation, Watch

HISTORY = "SimHubHistory"


def batch(*operations):
    return Call("table", "batch", HISTORY, (operations,), {})


def end(second):
    """A commit that ends the instance, at a second of the clock."""
    columns = {
        "ExecutionId": "e1",
        "EventType": "ExecutionCompleted",
        "_Timestamp": datetime.datetime(2026, 1, 1, second=second, tzinfo=datetime.timezone.utc),
    }
    return batch(
        TableWrite(Write.INSERT_OR_REPLACE, Row("i-0", "0000000000000000", columns)),
        TableWrite(Write.INSERT, Row("i-0", SENTINEL, {"ExecutionId": "e1"})),
    )


PURGE = batch(*(TableWrite(Write.DELETE, Row("i-0", row_key, {})) for row_key in ("0000000000000000", SENTINEL)))


@pytest.mark.parametrize("between", [(), (PURGE,), (PURGE, PURGE)])
def test_a_commit_whose_reply_was_lost_is_no_second_end_though_a_purge_came_between(between):
    watch = Watch(HISTORY)

    for call in (end(1), *between, end(1)):
        watch(call)

    assert watch.ends == {("i-0", "e1"): 1}


@pytest.mark.parametrize("between", [(), (PURGE,)])
def test_an_execution_that_is_run_to_another_end_is_found_though_a_purge_came_between(between):
    watch = Watch(HISTORY)

    for call in (end(1), *between):
        watch(call)

    with pytest.raises(Violation, match=r"^i-0 was completed twice|^history of .* was rewritten"):
        watch(end(2))


def completed_row():
    row = Row("i-0", "", {"RuntimeStatus": "Completed", "ExecutionId": "e1"})
    return Call("table", "write", "SimHubInstances", (TableWrite(Write.MERGE, row),), {})


def test_a_row_may_tell_of_an_end_that_a_purge_has_deleted_meanwhile():
    agreement = Agreement(HubNames.of("SimHub"))

    for call in (end(1), PURGE, completed_row()):
        agreement.see(call)


def test_a_row_must_not_tell_of_an_end_that_was_never_stored():
    agreement = Agreement(HubNames.of("SimHub"))

    with pytest.raises(Violation, match="the row of i-0 says that it has completed before its history does"):
        agreement.see(completed_row())
