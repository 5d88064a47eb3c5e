"""Call every method of the durable client against a loopback server, and record requests and outcomes as JSON.

Usage: $(scripts/reference-env) tests/conformance/sdk/record_client.py > tests/conformance/sdk/client-1.7.0.json

Run by the reference interpreter it records what ``test_client_reference.py`` compares with ours. A case is a call and
the server's canned answers; its record holds the requests as they arrived (raw path, headers that matter, body) and
what the call returned or raised.
"""

import asyncio
import contextlib
import datetime
import enum
import json
import sys
import warnings
from uuid import UUID

import azure.durable_functions as df
import azure.functions as func
from aiohttp import web
from azure.durable_functions.models.utils import http_utils

HEADERS = ("Content-Type", "X-Azure-Functions-InvocationId", "traceparent", "tracestate")

UTC = datetime.timezone.utc
FROM = datetime.datetime(2024, 1, 2, 3, 4, 5)
TO = datetime.datetime(2024, 2, 2, 3, 4, 5, 678, tzinfo=UTC)
REQUEST = func.HttpRequest("POST", "https://app.example:8443/api/start?x=1", body=b"")
Status = df.OrchestrationRuntimeStatus

ROW = {
    "name": "Flow",
    "instanceId": "a",
    "createdTime": "2024-01-02T03:04:05Z",
    "lastUpdatedTime": "2024-01-02T03:04:06Z",
    "input": "1",
    "output": ["x"],
    "runtimeStatus": "Completed",
    "customStatus": {"step": 2},
}


def row(**changes):
    return ROW | changes


def answer(status, body=None):
    """One answer: a value is sent as JSON, bytes as they are."""
    return status, body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


NONE = answer(202)
STARTED = answer(202, {"id": "generated", "statusQueryGetUri": "http://x/instances/generated"})
PURGED = answer(200, {"instancesDeleted": 3})
ODD = answer(418, {"Message": "teapot"})
BAD = answer(400, {"Message": "m", "ExceptionMessage": "the argument", "ExceptionType": "System.ArgumentException"})
EMPTY_BAD = answer(400)


def call(name, *arguments, answers=(NONE,), binding=None, invocation_id=None, **keywords):
    return {
        "method": name,
        "arguments": arguments,
        "keywords": keywords,
        "answers": answers,
        "binding": binding or {},
        "invocation_id": invocation_id,
    }


def not_text():
    """Return calls with ids and names that are no text: the reference formats whatever it gets."""
    id_ = UUID(int=5)
    entity = df.EntityId("Counter", 5)
    return {
        "start_uuid": call("start_new", "Flow", id_, answers=[STARTED]),
        "start_number": call("start_new", "Flow", 0, answers=[STARTED]),
        "start_numeric_version": call("start_new", "Flow", version=2, answers=[STARTED]),
        "status_uuid": call("get_status", id_, answers=[answer(200, ROW)]),
        "by_uuid_prefix": call("get_status_by", instance_id_prefix=id_, answers=[answer(200, [])]),
        "purge_uuid": call("purge_instance_history", id_, answers=[answer(404)]),
        "purge_none": call("purge_instance_history", None, answers=[answer(404)]),
        "purge_empty_id": call("purge_instance_history", "", answers=[PURGED]),
        "event_uuid": call("raise_event", id_, 5),
        "event_uuid_missing": call("raise_event", id_, "E", answers=[answer(404)]),
        "event_numeric_hub": call("raise_event", "a", "E", None, 5, 6),
        "terminate_uuid": call("terminate", id_, "r"),
        "suspend_none": call("suspend", None, "r", answers=[answer(404)]),
        "terminate_numeric_reason": call("terminate", "a", 5),
        "rewind_uuid": call("rewind", id_, 5),
        "signal_number": call("signal_entity", entity, 7),
        "state_number": call("read_entity_state", entity, answers=[answer(404)]),
        "payload_uuid": call("create_http_management_payload", id_),
    }


def cases():
    entity = df.EntityId("Counter", "Main")
    reasons = ("terminate", "suspend", "resume")
    return {
        "start_name_only": call("start_new", "Flow", answers=[STARTED]),
        "start_with_id": call("start_new", "Flow", "id-1", answers=[STARTED]),
        "start_with_input": call("start_new", "Flow", client_input={"a": [1, None, "é"]}, answers=[STARTED]),
        "start_with_text": call("start_new", "Flow", None, "text", answers=[STARTED]),
        "start_with_falsy_input": call("start_new", "Flow", client_input=0, answers=[STARTED]),
        "start_with_false": call("start_new", "Flow", client_input=False, answers=[STARTED]),
        "start_with_empty_text": call("start_new", "Flow", client_input="", answers=[STARTED]),
        "start_with_empty_list": call("start_new", "Flow", client_input=[], answers=[STARTED]),
        "start_with_version": call("start_new", "Flow", version="1.0 b/ü", answers=[STARTED]),
        "start_with_empty_version": call("start_new", "Flow", version="", answers=[STARTED]),
        "start_with_empty_id": call("start_new", "Flow", "", answers=[STARTED]),
        "start_with_invocation_id": call("start_new", "Flow", answers=[STARTED], invocation_id="inv-1"),
        "start_at_200": call("start_new", "Flow", answers=[answer(200, {"id": "x"})]),
        "start_at_202_empty": call("start_new", "Flow", answers=[NONE]),
        "start_at_400": call("start_new", "Flow", answers=[BAD]),
        "start_at_404": call("start_new", "Flow", answers=[answer(404)]),
        "start_at_409": call("start_new", "Flow", answers=[answer(409, "exists")]),
        "start_at_500": call("start_new", "Flow", answers=[answer(500, {"Message": "broken"})]),
        "start_unencodable": call("start_new", "Flow", client_input=FROM),
        "start_blank_in_name": call("start_new", "My Flow", "id 1", answers=[STARTED]),
        "start_odd_id": call("start_new", "Flow", "a/b?c#d&e", answers=[STARTED]),
        **not_text(),
        "status": call("get_status", "a", answers=[answer(200, ROW)]),
        "status_all_flags": call("get_status", "a", True, True, True, answers=[answer(200, ROW)]),
        "status_history_only": call("get_status", "a", show_history=True, answers=[answer(200, ROW)]),
        "status_of_blank_id": call("get_status", "a b", answers=[answer(200, ROW)]),
        "status_of_entity": call("get_status", "@counter@Main", answers=[answer(200, ROW)]),
        "status_running": call("get_status", "a", answers=[answer(202, row(runtimeStatus="Running", output=None))]),
        "status_missing": call("get_status", "a", answers=[answer(404)]),
        "status_failed": call("get_status", "a", answers=[answer(500, row(runtimeStatus="Failed"))]),
        "status_bad_request": call("get_status", "a", answers=[BAD]),
        "status_text_answer": call("get_status", "a", answers=[answer(404, "nothing here")]),
        "status_unknown_state": call("get_status", "a", answers=[answer(200, row(runtimeStatus="Odd"))]),
        "status_extra_key": call("get_status", "a", answers=[answer(200, row(version="2.0"))]),
        "status_history": call(
            "get_status",
            "a",
            show_history=True,
            answers=[answer(200, row(historyEvents=[{"EventType": "TaskCompleted"}]))],
        ),
        "status_at_503": call("get_status", "a", answers=[answer(503)]),
        "all": call("get_status_all", answers=[answer(200, [ROW, row(instanceId="b")])]),
        "all_none": call("get_status_all", answers=[answer(200, [])]),
        "all_at_202": call("get_status_all", answers=[answer(202, [])]),
        "all_at_500": call("get_status_all", answers=[answer(500, {"Message": "m"})]),
        "by_nothing": call("get_status_by", answers=[answer(200, [])]),
        "by_everything": call(
            "get_status_by", FROM, TO, [Status.Running, Status.Failed], "pre fix&", answers=[answer(200, [])]
        ),
        "by_status": call("get_status_by", runtime_status=[Status.Completed], answers=[answer(200, [ROW])]),
        "by_empty_status": call("get_status_by", runtime_status=[], answers=[answer(200, [])]),
        "by_time": call("get_status_by", created_time_from=FROM, answers=[answer(200, [])]),
        "by_at_404": call("get_status_by", answers=[answer(404)]),
        "purge": call("purge_instance_history", "a", answers=[answer(200, {"instancesDeleted": 1})]),
        "purge_missing": call("purge_instance_history", "a", answers=[answer(404)]),
        "purge_running": call("purge_instance_history", "a", answers=[answer(412, "Only terminal")]),
        "purge_extra_key": call(
            "purge_instance_history", "a", answers=[answer(200, {"instancesDeleted": 1, "more": 1})]
        ),
        "purge_by_nothing": call("purge_instance_history_by"),
        "purge_by": call(
            "purge_instance_history_by", FROM, TO, [Status.Completed, Status.Terminated], answers=[PURGED]
        ),
        "purge_by_from": call("purge_instance_history_by", FROM, answers=[answer(404)]),
        "purge_by_at_500": call("purge_instance_history_by", FROM, answers=[answer(500, {})]),
        "event": call("raise_event", "a", "Approval", {"by": "kim"}),
        "event_nothing": call("raise_event", "a", "Approval"),
        "event_text": call("raise_event", "a", "Approval", "yes", invocation_id="inv-2"),
        "event_false": call("raise_event", "a", "Approval", False),
        "event_zero": call("raise_event", "a", "Approval", 0),
        "event_hub": call("raise_event", "a", "Approval", 1, "OtherHub", "OtherConnection"),
        "event_hub_only": call("raise_event", "a", "Approval", 1, "OtherHub"),
        "event_connection_only": call("raise_event", "a", "Approval", 1, None, "OtherConnection"),
        "event_empty_name": call("raise_event", "a", ""),
        "event_blank_in_name": call("raise_event", "a", "my event", 1),
        "event_odd_names": call("raise_event", "a/b", "x?y#z", 1),
        "event_gone": call("raise_event", "a", "E", answers=[answer(410)]),
        "event_missing": call("raise_event", "a", "E", answers=[answer(404)]),
        "event_bad": call("raise_event", "a", "E", answers=[BAD]),
        "event_at_500": call("raise_event", "a", "E", answers=[answer(500, {"Message": "m"})]),
        "event_at_200": call("raise_event", "a", "E", answers=[answer(200)]),
        **{
            f"{verb}_{label}": call(verb, "a", reason, answers=[reply])
            for verb in reasons
            for label, reason, reply in (
                ("plain", "enough", NONE),
                ("quoted", "because of ü/&?", NONE),
                ("empty_reason", "", NONE),
                ("no_reason", None, NONE),
                ("gone", "r", answer(410)),
                ("missing", "r", answer(404)),
                ("odd", "r", ODD),
                ("at_200", "r", answer(200)),
            )
        },
        "terminate_with_invocation_id": call("terminate", "a", "r", invocation_id="inv-3"),
        "restart": call("restart", "a", answers=[STARTED]),
        "restart_same_id": call("restart", "a", False, answers=[STARTED]),
        "restart_empty": call("restart", "a", answers=[NONE]),
        "restart_text": call("restart", "a", answers=[answer(202, "new-id")]),
        "restart_gone": call("restart", "a", answers=[answer(410)]),
        "restart_missing": call("restart", "a", answers=[answer(404)]),
        "restart_bad": call("restart", "a", answers=[BAD]),
        "rewind": call("rewind", "a", "fixed"),
        "rewind_reason": call("rewind", "a", "fixed at last"),
        "rewind_odd_reason": call("rewind", "a", "a&b#c"),
        "rewind_hub": call("rewind", "a", "r", "OtherHub", "OtherConnection"),
        "rewind_at_200": call("rewind", "a", "r", answers=[answer(200)]),
        "rewind_missing": call("rewind", "a", "r", answers=[answer(404)]),
        "rewind_missing_text": call("rewind", "a", "r", answers=[answer(404, "No orchestration")]),
        "rewind_gone": call("rewind", "a", "r", answers=[answer(410)]),
        "rewind_text": call("rewind", "a", "r", answers=[answer(412, "has status Completed")]),
        "rewind_object": call("rewind", "a", "r", answers=[answer(500, {"Message": "m"})]),
        "rewind_without_rpc": call("rewind", "a", "r", binding={"rpcBaseUrl": None}),
        "signal": call("signal_entity", entity, "add", 5),
        "signal_nothing": call("signal_entity", entity, "reset"),
        "signal_zero": call("signal_entity", entity, "add", 0),
        "signal_false": call("signal_entity", entity, "add", False),
        "signal_empty_text": call("signal_entity", entity, "add", ""),
        "signal_text": call("signal_entity", entity, "add", "five", invocation_id="inv-4"),
        "signal_hub": call("signal_entity", entity, "add", 1, "OtherHub", "OtherConnection"),
        "signal_blank_in_names": call("signal_entity", df.EntityId("Counter", "B key"), "an op", 1),
        "signal_odd_key": call("signal_entity", df.EntityId("Counter", "a/b?c"), "o&p", 1),
        "signal_at_400": call("signal_entity", entity, "add", answers=[answer(400, {"Message": "m"})]),
        "signal_at_200": call("signal_entity", entity, "add", answers=[answer(200)]),
        "state": call("read_entity_state", entity, answers=[answer(200, {"n": 1})]),
        "state_null": call("read_entity_state", entity, answers=[answer(200, b"null")]),
        "state_missing": call("read_entity_state", entity, answers=[answer(404)]),
        "state_hub": call("read_entity_state", entity, "OtherHub", "OtherConnection", answers=[answer(200, 7)]),
        "state_at_500": call("read_entity_state", entity, answers=[answer(500, {})]),
        "payload": call("create_http_management_payload", "a/b 1"),
        "links": call("get_client_response_links", REQUEST, "i-1"),
        "links_without_request": call("get_client_response_links", None, "i-1"),
        "check_status": call("create_check_status_response", REQUEST, "i-1"),
        "wait_completed": call(
            "wait_for_completion_or_create_check_status_response", REQUEST, "a", answers=[answer(200, ROW)]
        ),
        "wait_completed_text": call(
            "wait_for_completion_or_create_check_status_response",
            REQUEST,
            "a",
            answers=[answer(200, row(output="plain"))],
        ),
        "wait_completed_null": call(
            "wait_for_completion_or_create_check_status_response", REQUEST, "a", answers=[answer(200, row(output=None))]
        ),
        "wait_later": call(
            "wait_for_completion_or_create_check_status_response",
            REQUEST,
            "a",
            500,
            10,
            answers=[answer(202, row(runtimeStatus="Running")), answer(200, ROW)],
        ),
        **{
            f"wait_{state.lower()}": call(
                "wait_for_completion_or_create_check_status_response",
                REQUEST,
                "a",
                answers=[answer(code, row(runtimeStatus=state, output="why"))],
            )
            for state, code in (("Failed", 500), ("Terminated", 200), ("Canceled", 200))
        },
        "wait_too_short": call(
            "wait_for_completion_or_create_check_status_response",
            REQUEST,
            "a",
            900,  # a slow machine must not miss one
            600,
            answers=[answer(202, row(runtimeStatus="Running"))] * 9,
        ),
        "wait_intervals_reversed": call("wait_for_completion_or_create_check_status_response", REQUEST, "a", 1, 2),
        "binding_without_hub": call("get_status_all", binding={"taskHubName": ...}),
        "binding_without_creation_urls": call("get_status_all", binding={"creationUrls": ...}),
        "binding_without_management_urls": call("get_status_all", binding={"managementUrls": ...}),
        "status_without_rpc": call("get_status", "a", binding={"rpcBaseUrl": None}),
        "by_without_rpc": call("get_status_by", binding={"rpcBaseUrl": None}),
        "purge_by_without_rpc": call("purge_instance_history_by", FROM, binding={"rpcBaseUrl": None}),
        "event_without_rpc": call("raise_event", "a", "E", binding={"rpcBaseUrl": None}),
        "signal_without_rpc": call("signal_entity", entity, "add", binding={"rpcBaseUrl": None}),
        "state_without_rpc": call("read_entity_state", entity, binding={"rpcBaseUrl": None}),
    }


def binding_of(changes, port):
    root = "http://localhost:7071/runtime/webhooks/durabletask"
    query = "taskHub=Hub&connection=Storage&code=k"
    binding = {
        "taskHubName": "Hub",
        "creationUrls": {"createNewInstancePostUri": root + "/orchestrators/{functionName}[/{instanceId}]?code=k"},
        "managementUrls": {
            "id": "INSTANCEID",
            "statusQueryGetUri": f"{root}/instances/INSTANCEID?{query}",
            "sendEventPostUri": f"{root}/instances/INSTANCEID/raiseEvent/{{eventName}}?{query}",
            "terminatePostUri": f"{root}/instances/INSTANCEID/terminate?reason={{text}}&{query}",
            "purgeHistoryDeleteUri": f"{root}/instances/INSTANCEID?{query}",
        },
        "rpcBaseUrl": f"http://127.0.0.1:{port}/durabletask/",
        "baseUrl": root,
    }
    binding.update(changes)
    return {key: value for key, value in binding.items() if value is not ...}


def shown(value):
    if isinstance(value, func.HttpResponse):
        return {"status": value.status_code, "headers": dict(value.headers), "body": value.get_body().decode()}
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    properties = [name for name, kind in vars(type(value)).items() if isinstance(kind, property)]
    extras = [name for name in vars(value) if not name.startswith("_")]
    return {"type": type(value).__name__, "bool": bool(value)} | {
        name: shown(getattr(value, name)) for name in sorted({*properties, *extras})
    }


async def perform(case):
    """Make one call against a server of its own; return its requests and outcome."""
    requests, answers = [], list(case["answers"])

    async def serve(request):
        body = await request.text()
        headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
        requests.append({"method": request.method, "path": request.raw_path, "headers": headers, "body": body})
        status, content = answers.pop(0)
        return web.Response(status=status, body=content, content_type="application/json")

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", serve)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        outcome = await attempt(case, port)
    finally:
        await runner.cleanup()
    return {"requests": requests, **outcome}


async def attempt(case, port):
    try:
        client = df.DurableOrchestrationClient(json.dumps(binding_of(case["binding"], port)), case["invocation_id"])
        value = getattr(client, case["method"])(*case["arguments"], **case["keywords"])
        if asyncio.iscoroutine(value):
            value = await value
        return {"returned": shown(value)}
    except Exception as error:
        return {"raised": type(error).__name__, "text": str(error)}


async def record():
    records = {name: await perform(case) for name, case in cases().items()}
    session = getattr(http_utils, "_client_session", None)
    if session is not None:
        await session.close()
    return records


if __name__ == "__main__":
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        recorded = asyncio.run(record())
    json.dump(recorded, sys.stdout, indent=1)
    sys.stdout.write("\n")
