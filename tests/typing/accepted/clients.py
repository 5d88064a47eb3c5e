"""Functions with a durable client, and all that the clients do."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from typing_extensions import assert_type

app = df.DFApp()
counter = df.EntityId("Counter", "main")


@app.orchestration_trigger(context_name="context")
def orchestrator(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, str]:
    yield context.create_timer(context.current_utc_datetime)
    return "done"


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    instance_id = await client.start_new(orchestrator, None, {"n": 1})
    assert_type(instance_id, str)
    assert_type(await client.start_new("orchestrator", client_input=1, version="2"), str)
    assert_type(
        await client.wait_for_completion_or_create_check_status_response(req, instance_id, 1000, 100),
        func.HttpResponse,
    )
    assert_type(client.create_http_management_payload(instance_id), dict[str, str])
    assert_type(client.get_client_response_links(req, instance_id), dict[str, str])
    return client.create_check_status_response(req, instance_id)


@app.timer_trigger(schedule="0 0 * * * *", arg_name="timer")
@app.durable_client_input(client_name="client", task_hub="Other", connection_name="Storage")
async def control(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    status = await client.get_status("x", show_history=True)
    assert_type(status, df.DurableOrchestrationStatus)
    assert_type(status.runtime_status, "df.OrchestrationRuntimeStatus | None")
    assert_type(status.created_time, "datetime | None")
    assert_type(status.output, Any)
    assert_type(await client.get_status_all(), list[df.DurableOrchestrationStatus])
    some = await client.get_status_by(datetime.min, datetime.max, [df.OrchestrationRuntimeStatus.Failed])
    assert_type(some, list[df.DurableOrchestrationStatus])
    assert_type((await client.purge_instance_history("x")).instances_deleted, int)
    assert_type(await client.purge_instance_history_by(datetime.min), df.PurgeHistoryResult)
    assert_type(await client.restart("x", restart_with_new_instance_id=False), str)
    await client.raise_event("x", "go", {"a": 1})
    await client.terminate("x", "why")
    await client.suspend("x", None)
    await client.resume("x", None)
    await client.rewind("x", "why")
    await client.signal_entity(counter, "add", 1)
    state = await client.read_entity_state(counter)
    assert_type(state, df.EntityStateResponse)
    assert_type(state.entity_exists, bool)
    assert_type(state.entity_state, Any)


@app.route(route="newer")
@app.durable_client_input()
async def newer(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    instance_id = await client.schedule_new_orchestration(orchestrator, input=1)
    assert_type(instance_id, str)
    found = await client.wait_for_orchestration_completion(instance_id, timeout=5)
    assert_type(found, "df.DurableOrchestrationStatus | None")
    return client.create_check_status_response(req, instance_id)


@app.route(route="plain")
@app.durable_client_input(client_name="client")
def plain(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    assert_type(client.start_new(orchestrator), str)
    assert_type(client.schedule_new_orchestration("orchestrator"), str)
    assert_type(client.get_status("x"), df.DurableOrchestrationStatus)
    assert_type(client.read_entity_state(counter), df.EntityStateResponse)
    client.raise_event("x", "go")
    return client.create_check_status_response(req, "x")


@app.route(route="unannotated")
@app.durable_client_input(client_name="client")
async def unannotated(req: func.HttpRequest, client: str) -> None:
    """``client: str`` is what public samples say, whatever is handed over."""
    by_hand = df.DurableOrchestrationClient(client)
    await by_hand.start_new("orchestrator", client_input=req.get_body().decode())


@app.durable_client_input(client_name="client")
async def inner(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return client.create_check_status_response(req, "x")


app.route(route="outer")(inner)


async def tested(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> None:
    """What tests of apps do."""
    function = inner.build().get_user_function().client_function
    assert_type(await function(req, client), func.HttpResponse)
    try:
        await client.start_new("nobody")
    except df.DurableClientError as error:
        print(error.status, error.body)
