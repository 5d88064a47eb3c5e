import json
from dataclasses import replace

import pytest

from taskhub.host import routes
from taskhub.model.entities import EntityId, EntityPage, EntityState
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter, InstanceState, RuntimeStatus

ALL = tuple(RuntimeStatus)
ENDED = ("Completed", "Failed", "Canceled", "Terminated")


def request(method, path, query="", body=b"", **headers):
    url = f"http://localhost:7071{routes.WEBHOOK_PATH}/{path}"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return routes.Request(method, "http://localhost:7071", path, query, url, headers, body)


def parse(method, path, query="", body=b"", **headers):
    return routes.parse(request(method, path, query, body, **headers))


def state(status, instance_id="i"):
    return InstanceState(InstanceId(instance_id), None, "f", None, status, Utc("2026-01-02T03:04:05.9Z"), None)


# ---- parameters


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02", "2026-01-02T00:00:00Z"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        ("2026-01-02T03:04:05-0130", "2026-01-02T04:34:05Z"),
        ("2026-01-02 03:04", "2026-01-02T03:04:00Z"),
        ("1-01-01T00:00:00.000000Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+02:00", None),
        ("2026-13-02", None),
        ("garbage", None),
        ("", None),
    ],
)
def test_times_are_read_and_what_is_none_counts_as_absent(text, time):
    assert routes.parse_time(text) == time


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("showInput=false", False),
        ("SHOWINPUT=%20False%20", False),
        ("showInput=0", True),
        ("showInput=", True),
        ("showInput=false&showInput=false", True),
        ("", True),
    ],
)
def test_truth_values_are_words_and_nothing_else(query, expected):
    assert parse("GET", "instances/x", query).show_input is expected


def test_statuses_are_exact_names_or_numbers_in_lists_of_any_form():
    query = "runtimeStatus=Running,completed,4&runtimeStatus=Failed,Nope"

    assert parse("GET", "instances", query).filter == InstanceFilter(
        statuses=frozenset({RuntimeStatus.Running, RuntimeStatus.Canceled, RuntimeStatus.Failed})
    )


@pytest.mark.parametrize(
    ("query", "wait"), [("timeout=5&pollingInterval=.5", (5, 0.5)), ("timeout=5", None), ("", None)]
)
def test_a_wait_needs_both_times(query, wait):
    found = parse("POST", "orchestrators/f", query).wait

    assert (found and (found.timeout_seconds, found.interval_seconds)) == wait


def test_ids_and_names_are_form_decoded():
    assert parse("GET", "instances/a%40b+c").instance_id == "a@b c"
    assert parse("POST", "instances/x/raiseEvent/two%20words", body=b"1").name == "two words"


def test_the_hub_and_connection_of_a_request_are_kept_apart_from_blank_ones():
    assert parse("GET", "instances", "taskHub=Other&connection=Mine").target == routes.Target("Other", "Mine")
    assert parse("GET", "instances", "taskHub=+&connectionName=Mine").target == routes.Target(None, None)


# ---- states


@pytest.mark.parametrize("status", ALL)
def test_only_ended_instances_are_purged(status):
    refusal = routes.refusal_of_purge(parse("DELETE", "instances/i"), state(status))

    assert (refusal is None) == (status.name in ENDED)
    if refusal is not None:
        assert refusal.status == 412
        assert json.loads(refusal.body) == (
            f"Only orchestrations in a terminal state can be purged, but the orchestration with instance ID i has "
            f"status {status.name}"
        )


def test_entities_are_purged_whatever_their_state():
    command = parse("DELETE", "instances/%40counter%40a")

    assert routes.refusal_of_purge(command, state(RuntimeStatus.Running)) is None


LEGAL = {
    "terminate": ("Running", "Pending", "ContinuedAsNew", "Suspended"),
    "suspend": ("Running", "Pending", "ContinuedAsNew"),
    "resume": ("Suspended",),
}


@pytest.mark.parametrize("operation", LEGAL)
@pytest.mark.parametrize("status", ALL)
def test_each_operation_is_legal_from_its_states_only(operation, status):
    refusal = routes.refusal_of_control(parse("POST", f"instances/i/{operation}"), state(status))

    if status.name in LEGAL[operation]:
        assert refusal is None
    else:
        assert refusal.status == (410 if status.name in ENDED else 500)


@pytest.mark.parametrize("status", ALL)
def test_events_reach_instances_that_have_not_ended(status):
    command = parse("POST", "instances/i/raiseEvent/e", body=b"1", content_type="application/json")

    refusal = routes.refusal_of_event(command, state(status))

    assert (refusal.status if refusal else None) == (410 if status.name in ENDED else None)


@pytest.mark.parametrize("status", ALL)
def test_a_restart_under_the_same_id_needs_an_instance_that_has_ended(status):
    same = parse("POST", "instances/i/restart", "restartWithNewInstanceId=false")
    new = parse("POST", "instances/i/restart")

    refusal = routes.refusal_of_restart(same, state(status))

    assert (refusal.status if refusal else None) == (None if status.name in ENDED else 409)
    assert routes.refusal_of_restart(new, state(status)) is None


@pytest.mark.parametrize("status", [*ALL, None])
def test_the_status_code_follows_the_state(status):
    codes = {"Completed": 200, "Terminated": 200, "Canceled": 200, "Failed": 200, None: 500}

    command = parse("GET", "instances/i")
    answer = routes.status_response(command, state(status), None, "URL")

    expected = codes.get(status and status.name, 202)
    assert (answer.status, dict(answer.headers)) == (
        expected,
        {"Location": "URL", "Retry-After": "5"} if expected == 202 else {},
    )


def test_an_event_is_stored_compact_with_its_text_untouched():
    command = parse("POST", "instances/i/raiseEvent/e", body='{"n": 1.50, "t": "2026-01-02T03:04:05Z é"}'.encode())

    assert routes.event_payload(command) == '{"n":1.5,"t":"2026-01-02T03:04:05Z é"}'


# ---- URLs


def test_half_a_character_is_shown_as_json_writes_it():
    shown = replace(state(RuntimeStatus.Completed), input=r'"\ud800"', output='"\u00e9"')
    command = routes.RaiseEvent(routes.Target(), InstanceId("i"), "go", "application/json", rb'"\udc00x"')

    body = routes.status_response(routes.ReadStatus(routes.Target(), InstanceId("i")), shown, None, "").body

    assert r'"input":"\ud800"' in body
    assert body.encode()
    assert routes.event_payload(command) == r'"\udc00x"'


def test_a_client_is_given_all_urls_for_its_hub():
    urls = routes.Urls("http://h/w", "Own", "Storage", "code=k")

    payload = json.loads(urls.client_payload("http://127.0.0.1:17071/durabletask/", "Other", "Mine"))

    assert payload["taskHubName"] == "Other"
    assert payload["connectionName"] == "Mine"
    assert payload["managementUrls"]["statusQueryGetUri"] == (
        "http://h/w/instances/INSTANCEID?taskHub=Other&connection=Mine&code=k"
    )
    assert payload["creationUrls"]["createNewInstancePostUri"] == (
        "http://h/w/orchestrators/{functionName}[/{instanceId}]?code=k"
    )


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://localhost:7071", "example.org", "https://example.org:7071"),
        ("http://localhost", "example.org", "https://example.org"),
    ],
)
def test_a_forwarded_host_is_used_when_asked_for_and_keeps_the_port(origin, host, expected):
    headers = {"x-forwarded-host": host, "x-forwarded-proto": "https"}

    assert routes.origin_of(origin, headers, use_forwarded_host=True) == expected
    assert routes.origin_of(origin, headers, use_forwarded_host=False) == origin
    assert routes.origin_of(origin, {"x-forwarded-host": host}, use_forwarded_host=True) == origin


@pytest.mark.parametrize("host", ["example.org:8443", "a/b", "a b", "a\r\nX: y"])
def test_a_forwarded_host_that_is_none_is_refused(host):
    headers = {"x-forwarded-host": host, "x-forwarded-proto": "https"}

    with pytest.raises(ValueError, match="hostname could not be parsed"):
        routes.origin_of("http://localhost", headers, use_forwarded_host=True)


@pytest.mark.parametrize("token", ["a 1", "100%", "ü\n", "a%20b"])
def test_continuation_tokens_survive_their_header(token):
    page = routes.InstancePage((), token)
    sent = routes.list_response(parse("GET", "instances"), page).headers[routes.TOKEN_HEADER]

    assert sent.isascii()
    assert "\n" not in sent
    assert parse("GET", "instances", **{routes.TOKEN_HEADER: sent}).token == token


# ---- entities


@pytest.mark.parametrize(
    ("path", "entity"),
    [
        ("entities/Counter/Key", EntityId("counter", "Key")),
        ("Entities/counter/%24", EntityId("counter", "")),
        ("entities/counter/a%40b", EntityId("counter", "a@b")),
        ("entities/counter/two%20words", EntityId("counter", "two words")),
    ],
)
def test_entities_are_read_by_name_and_key(path, entity):
    assert parse("GET", path).entity == entity


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "kind", "operation", "content"),
    [
        ("POST", "entities/counter/a", "op=add", b"5", "application/json", "add", "5"),
        ("POST", "entities/counter/a", "op=add", b'{"n": 1.50}', "application/json; charset=utf-8", "add", '{"n":1.5}'),
        ("POST", "entities/counter/a", "op=add", b"5", "text/plain", "add", '"5"'),
        ("POST", "entities/counter/a", "op=add", b"\xff", "", "add", '"\ufffd"'),
        ("POST", "entities/counter/a", "", b"", "application/json", "", None),
        ("DELETE", "entities/counter/a", "op=add", b"5", "application/json", "delete", "5"),
        ("DELETE", "entities/counter", "", b"", "", "delete", None),
    ],
)
def test_an_operation_is_read_from_query_method_and_body(method, path, query, body, kind, operation, content):
    command = parse(method, path, query, body, content_type=kind)

    assert (command.operation, command.input) == (operation, content)


def test_a_dollar_is_a_key_where_an_entity_is_signalled():
    assert parse("POST", "entities/counter/%24").entity == EntityId("counter", "$")
    assert parse("POST", "entities/counter").entity == EntityId("counter", "")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (
            "entities",
            b"",
            "Invalid entity id: entity name must not be a null or empty string. (Parameter 'entityName')",
        ),
        (
            "entities/counter/a%5Cb",
            b"",
            "entityKey (Parameter 'Entity keys must not contain /, \\, #, ?, or control characters.')",
        ),
        (
            "entities/counter/a",
            b"{oops",
            "Could not parse JSON content: Expecting property name enclosed in double quotes. Line 1, position 2.",
        ),
    ],
)
def test_a_signal_that_makes_no_sense_is_refused(path, body, message):
    refusal = parse("POST", path, body=body, content_type="application/json")

    assert (refusal.status, json.loads(refusal.body)) == (400, {"Message": message})


def test_a_list_is_read_with_its_filters():
    query = "lastOperationTimeFrom=2026-01-02&lastOperationTimeTo=2026-01-03T04:05:06Z&top=7&fetchState=TRUE"

    command = parse("GET", "entities/Counter/", query, x_ms_continuation_token="next%20page")

    assert (command.name, command.operated_from, command.operated_to) == (
        "Counter",
        "2026-01-02T00:00:00Z",
        "2026-01-03T04:05:06Z",
    )
    assert (command.top, command.token, command.fetch_state) == (7, "next page", True)
    assert parse("GET", "entities").name is None


def test_a_page_of_no_entities_only_tells_where_to_go_on():
    answer = routes.no_entities(parse("GET", "entities", "top=0"))

    assert (answer.status, answer.body, answer.headers) == (200, "[]", {routes.TOKEN_HEADER: "*"})
    assert parse("GET", "entities", "top=-1").status == 500


def test_states_that_are_no_json_are_shown_as_text():
    page = EntityPage((EntityState(EntityId("counter", "a"), True, None, "plain text"),), None)

    assert json.loads(routes.list_entities_response(page).body) == [
        {
            "entityId": {"name": "counter", "key": "a"},
            "lastOperationTime": "0001-01-01T00:00:00Z",
            "state": "plain text",
        }
    ]


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://h/instances/%40counter%40a?x=%40", "http://h/instances/@counter@a?x=%40"),
        ("http://h/instances/a%2Fb%25%20%3F%23%C3%A4", "http://h/instances/a%2Fb%25%20%3F%23%C3%A4"),
    ],
)
def test_a_location_is_not_encoded_more_than_it_must_be(url, location):
    command = parse("GET", "instances/i")

    assert routes.status_response(command, state(RuntimeStatus.Running), None, url).headers["Location"] == location


# ---- rewind, restart with options, purge many, primary app


@pytest.mark.parametrize("status", ALL)
def test_only_failed_instances_are_rewound(status):
    command = parse("POST", "instances/i/rewind", "reason=try+again")

    refusal = routes.refusal_of_rewind(command, state(status))

    assert command == routes.Rewind(routes.Target(), InstanceId("i"), "try again")
    if status is RuntimeStatus.Failed:
        assert refusal is None
    else:
        assert refusal.status == 412
        assert json.loads(refusal.body) == (
            f"This orchestration has status {status.name}, but only orchestrations in the "
            '"Failed" state can be rewound.'
        )


def test_rewinding_nobody_is_not_found_in_the_words_of_the_extension():
    refusal = routes.refusal_of_rewind(parse("POST", "instances/nobody/rewind"), None)

    assert (refusal.status, json.loads(refusal.body)) == (404, 'No orchestration with instance ID "$nobody" found.')


def test_a_restart_with_options_names_the_new_instance():
    command = parse("POST", "instances/i/restartWithOptions", "newInstanceId=j&version=2.0")

    assert command == routes.Restart(
        routes.Target(), InstanceId("i"), with_new_id=True, wait=None, new_id=InstanceId("j"), version="2.0"
    )


@pytest.mark.parametrize("new_id", ["", "%20", "%40j", "a%23b", "i" * 257])
def test_a_restart_with_options_refuses_ids_that_cannot_be(new_id):
    refusal = parse("POST", "instances/i/restartWithOptions", f"newInstanceId={new_id}")

    assert refusal.status == 400
    assert "ExceptionMessage" in json.loads(refusal.body)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ("", ENDED),
        ("&runtimeStatus=", ENDED),
        ("&runtimeStatus=Failed", ("Failed",)),
        ("&runtimeStatus=Failed,Running&runtimeStatus=5", ("Failed", "Terminated")),
        ("&runtimeStatus=Running,Pending", None),
        ("&runtimeStatus=nonsense", None),
    ],
)
def test_many_are_purged_only_in_terminal_states(statuses, expected):
    found = parse("DELETE", "instances", f"createdTimeFrom=2026-01-02&createdTimeTo=2026-01-03{statuses}")

    if expected is None:
        assert found == routes.NOT_FOUND
    else:
        assert found.filter == InstanceFilter(
            Utc("2026-01-02T00:00:00Z"),
            Utc("2026-01-03T00:00:00Z"),
            frozenset(RuntimeStatus[name] for name in expected),
        )


@pytest.mark.parametrize("query", ["", "createdTimeFrom=garbage", "runtimeStatus=Completed"])
def test_many_are_not_purged_without_a_time(query):
    refusal = parse("DELETE", "instances", query)

    assert (refusal.status, json.loads(refusal.body)) == (400, "Please provide value for 'createdTimeFrom' parameter.")


@pytest.mark.parametrize(("count", "answer"), [(0, (404, None)), (3, (200, '{"instancesDeleted":3}'))])
def test_a_purge_that_found_nothing_is_not_found(count, answer):
    response = routes.purged_ended(count)

    assert (response.status, response.body) == answer


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_any_method_makes_the_app_primary(method):
    assert parse(method, "makeprimary") == routes.MakePrimary(routes.Target())
