from datetime import datetime, timedelta, timezone

import azure.durable_functions as df
import pytest
from azure.durable_functions.models.RpcManagementOptions import RpcManagementOptions
from azure.durable_functions.models.utils.json_utils import (
    add_attrib,
    add_datetime_attrib,
    add_json_attrib,
    parse_timespan_attrib,
)
from azure.durable_functions.models.utils.type_discovery import activity_output_type, sub_orchestrator_output_type

ENTITY = df.EntityId("Counter", "Main")
STATUS = {
    "name": "Flow",
    "instanceId": "a",
    "createdTime": "2024-01-02T03:04:05Z",
    "lastUpdatedTime": "2024-01-02T03:04:06Z",
    "runtimeStatus": "Completed",
}


# Entity ids


def test_scheduler_id_has_the_name_in_lower_case_and_the_key_as_it_is():
    assert str(ENTITY) == df.EntityId.get_scheduler_id(ENTITY) == "@counter@Main"


def test_scheduler_id_is_read_back():
    assert df.EntityId.get_entity_id("@counter@Main") == df.EntityId("counter", "Main")


@pytest.mark.parametrize("text", ["", "a", "@a", "@a@b@c", "x@a@b"])
def test_scheduler_id_without_exactly_name_and_key_is_refused(text):
    with pytest.raises(ValueError, match="Unexpected format in SchedulerId"):
        df.EntityId.get_entity_id(text)


def test_empty_name_and_empty_key_are_refused():
    with pytest.raises(ValueError, match="Entity name cannot be empty"):
        df.EntityId("", "k")
    with pytest.raises(ValueError, match="Entity key cannot be empty"):
        df.EntityId("n", "")


def test_entity_ids_compare_by_name_and_key_with_case_and_can_be_keys_of_a_dict():
    assert df.EntityId("Counter", "Main") == ENTITY
    assert df.EntityId("counter", "Main") != ENTITY
    assert ENTITY != "@counter@Main"
    assert {ENTITY: 1}[df.EntityId("Counter", "Main")] == 1


def test_url_path_of_an_entity_is_not_escaped():
    assert df.EntityId.get_entity_id_url_path(df.EntityId("Aa", "B c/@")) == "entities/Aa/B c/@"


# Status


def test_status_of_a_missing_instance_is_falsy():
    assert not df.DurableOrchestrationStatus.from_json("")
    assert df.DurableOrchestrationStatus.from_json(STATUS)


def test_history_events_of_the_host_become_the_history_and_stay_an_attribute():
    events = [{"EventType": "TaskCompleted"}]

    status = df.DurableOrchestrationStatus.from_json(STATUS | {"historyEvents": events})

    assert status.history == events
    assert status.historyEvents == events
    assert status.to_json()["history"] == events


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)),
        ("2024-01-02T03:04:05.1234567Z", datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=timezone.utc)),
        ("2024-01-02T03:04:05.5+02:00", datetime(2024, 1, 2, 3, 4, 5, 500000, tzinfo=timezone(timedelta(hours=2)))),
        ("2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
    ],
)
def test_times_of_a_status_are_read(text, time):
    status = df.DurableOrchestrationStatus(createdTime=text)

    assert status.created_time == time
    assert status.created_time.tzinfo == time.tzinfo


def test_a_time_that_is_none_is_named():
    with pytest.raises(ValueError, match="not a time: 'soon'"):
        df.DurableOrchestrationStatus(createdTime="soon")


def test_status_as_json_has_the_keys_of_the_management_api_in_the_references_order():
    status = df.DurableOrchestrationStatus.from_json(STATUS | {"input": "1", "output": [2], "customStatus": "x"})

    assert list(status.to_json().items()) == [
        ("name", "Flow"),
        ("instanceId", "a"),
        ("createdTime", "2024-01-02T03:04:05.000000Z"),
        ("lastUpdatedTime", "2024-01-02T03:04:06.000000Z"),
        ("output", [2]),
        ("input", "1"),
        ("runtimeStatus", "Completed"),
        ("customStatus", "x"),
        ("history", None),
    ]


def test_status_without_times_and_state_can_be_written():
    assert df.DurableOrchestrationStatus(name="n").to_json() == {
        "name": "n",
        "instanceId": None,
        "createdTime": None,
        "lastUpdatedTime": None,
        "output": None,
        "input": None,
        "customStatus": None,
        "history": None,
    }


# Addresses


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, "http://x/instances/"),
        ({"instance_id": "a"}, "http://x/instances/a"),
        ({"instance_id": "a/b?c#d e"}, "http://x/instances/a%2Fb%3Fc%23d%20e"),
        ({"instance_id": "@counter@Main"}, "http://x/instances/@counter@Main"),
        ({"instance_id": "a", "show_input": False, "show_history": True}, "http://x/instances/a?showHistory=True"),
        (
            {"instance_id": "a", "show_input": True, "show_history": True, "show_history_output": True},
            "http://x/instances/a?showInput=True&showHistory=True&showHistoryOutput=True",
        ),
        ({"instance_id_prefix": "p&q="}, "http://x/instances/?instanceIdPrefix=p%26q%3D"),
        ({"entity_Id": ENTITY, "operation_name": "o&p"}, "http://x/entities/Counter/Main?op=o%26p"),
        (
            {"entity_Id": df.EntityId("A", "b/c"), "task_hub_name": "H", "connection_name": "C"},
            "http://x/entities/A/b%2Fc?taskHub=H&connectionName=C",
        ),
        (
            {"runtime_status": [df.OrchestrationRuntimeStatus.Running, df.OrchestrationRuntimeStatus.Failed]},
            "http://x/instances/?runtimeStatus=Running,Failed",
        ),
        ({"runtime_status": df.OrchestrationRuntimeStatus.Failed}, "http://x/instances/?runtimeStatus=Failed"),
        ({"runtime_status": ["Failed"]}, "http://x/instances/?runtimeStatus=Failed"),
        (
            {"created_time_from": datetime(2024, 1, 2, 3, 4, 5)},
            "http://x/instances/?createdTimeFrom=2024-01-02T03:04:05.000000Z",
        ),
        (
            {"created_time_to": datetime(1, 1, 1, 5, tzinfo=timezone(timedelta(hours=2)))},
            "http://x/instances/?createdTimeTo=0001-01-01T03:00:00.000000Z",
        ),
    ],
)
def test_address_of_options(options, url):
    assert RpcManagementOptions(**options).to_url("http://x/") == url


def test_a_time_that_is_no_datetime_is_refused():
    with pytest.raises(TypeError, match="created_time_from must be a datetime, not str"):
        RpcManagementOptions(created_time_from="2024").to_url("http://x/")


def test_a_state_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'Ended' is not a valid OrchestrationRuntimeStatus"):
        RpcManagementOptions(runtime_status=["Ended"]).to_url("http://x/")


# JSON helpers


class Source:
    number = 1
    nothing = None
    when = datetime(2024, 1, 2, 3, 4, 5)
    token = df.ManagedIdentityTokenSource("r")


def test_attributes_are_copied_under_their_own_or_another_name():
    found: dict = {}

    add_attrib(found, Source(), "number")
    add_attrib(found, Source(), "nothing", "other")
    add_attrib(found, Source(), "missing")
    add_datetime_attrib(found, Source(), "when", "at")
    add_datetime_attrib(found, Source(), "missing")
    add_json_attrib(found, Source(), "token")
    add_json_attrib(found, Source(), "nothing")

    assert found == {
        "number": 1,
        "other": None,
        "at": "2024-01-02T03:04:05.000000Z",
        "token": {"resource": "r", "kind": "AzureManagedIdentity"},
    }


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("00:00:00", timedelta()),
        ("1.02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("-1.02:03:04", -timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("01:02:03.1234567", timedelta(hours=1, minutes=2, seconds=3, microseconds=123456)),
        ("-00:00:00.5000000", -timedelta(seconds=0.5)),
        ("24:00:00", timedelta(days=1)),
    ],
)
def test_time_span_is_read(text, span):
    assert parse_timespan_attrib(text) == span


@pytest.mark.parametrize("text", ["", "x", "1:02:03", "01:02:03.12", "01:02:03 "])
def test_other_forms_of_a_time_span_are_refused(text):
    with pytest.raises(Exception, match=f"Format of TimeSpan failed attempted conversion to timedelta: {text}"):
        parse_timespan_attrib(text)


# HTTP values


def test_http_request_leaves_the_token_source_out_when_there_is_none():
    plain = df.DurableHttpRequest("GET", "http://x")
    full = df.DurableHttpRequest("POST", "http://x", "body", {"h": "1"}, df.ManagedIdentityTokenSource("r"))

    assert plain.to_json() == {"method": "GET", "uri": "http://x", "content": None, "headers": None}
    assert full.to_json() == {
        "method": "POST",
        "uri": "http://x",
        "content": "body",
        "headers": {"h": "1"},
        "tokenSource": {"resource": "r", "kind": "AzureManagedIdentity"},
    }


def test_http_response_is_made_from_what_call_http_gives():
    answer = {"statusCode": 200, "headers": {"a": "b"}, "content": "text"}

    response = df.DurableHttpResponse.from_json(answer)

    assert (response.status_code, response.headers, response.content) == (200, {"a": "b"}, "text")
    assert response.to_json() == answer


# Types of results


def test_types_come_from_the_annotations_of_decorated_functions():
    app = df.DFApp()

    @app.activity_trigger(input_name="value")
    def plain(value) -> int: ...

    @app.activity_trigger(input_name="value")
    def generic(value) -> list[int]: ...

    @app.activity_trigger(input_name="value")
    def bare(value): ...

    @app.activity_trigger(input_name="value")
    def unresolved(value) -> "Missing": ...  # noqa: F821

    @app.orchestration_trigger(context_name="context")
    def flow(context) -> dict:
        return {}

    assert [activity_output_type(each) for each in (plain, generic, bare, unresolved)] == [int, None, None, None]
    assert sub_orchestrator_output_type(flow) is dict
    assert activity_output_type("name") is None
