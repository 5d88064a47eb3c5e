"""Human interaction: an event against a timer. All of the client, asynchronous and synchronous."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

approvals = df.Blueprint()


@approvals.route(route="approvals", methods=["POST"])
@approvals.durable_client_input(client_name="client")
async def ask(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    given = req.get_json()
    instance_id = await client.schedule_new_orchestration("approval", input=given, instance_id=given.get("id"))
    return client.create_check_status_response(req, instance_id)


@approvals.route(route="approvals/{instance_id}", methods=["POST"])
@approvals.durable_client_input(client_name="client")
def decide(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    client.raise_orchestration_event(req.route_params["instance_id"], "Decision", data=req.get_json())
    return func.HttpResponse(status_code=202)


@approvals.orchestration_trigger(context_name="context")
def approval(ctx, given):
    from durabletask import task

    decision = ctx.wait_for_external_event("Decision")
    timer = ctx.create_timer(ctx.current_utc_datetime + timedelta(seconds=given["timeout_seconds"]))
    ctx.set_custom_status("waiting")
    first = yield task.when_any([decision, timer])
    if first is timer:
        return {"request": given["request"], "result": "timed out"}
    return {"request": given["request"], "result": "approved" if decision.get_result()["approved"] else "refused"}


@approvals.route(route="client/{what}/{instance_id}", methods=["POST"])
@approvals.durable_client_input(client_name="client")
async def manage(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    """Call one method of the client, and tell what came of it."""
    instance_id = req.route_params["instance_id"]
    calls = {
        "terminate": lambda: client.terminate_orchestration(instance_id, output="enough"),
        "suspend": lambda: client.suspend_orchestration(instance_id, reason="pause"),
        "resume": lambda: client.resume_orchestration(instance_id, reason="go on"),
        "rewind": lambda: client.rewind_orchestration(instance_id, reason="again"),
        "restart": lambda: client.restart_orchestration(instance_id, restart_with_new_instance_id=True),
        "restart-in-place": lambda: client.restart_orchestration(instance_id),
        "raise": lambda: client.raise_orchestration_event(instance_id, "Decision", data={"approved": True}),
        "purge": lambda: client.purge_orchestration(instance_id),
        "get": lambda: client.get_orchestration_state(instance_id),
        "started": lambda: client.wait_for_orchestration_start(instance_id, timeout=10),
        "ended": lambda: client.wait_for_orchestration_completion(instance_id, timeout=1),
        "history": lambda: client.get_orchestration_history(instance_id),
        "list": lambda: client.get_all_orchestration_states(),
        "purge-ended": lambda: client.purge_orchestrations_by(),
        "start": lambda: client.schedule_new_orchestration("hello_cities", instance_id=instance_id),
    }
    try:
        return _told(await calls[req.route_params["what"]]())
    except TimeoutError as error:
        return _told({"timeout": str(error)})
    except Exception as error:
        code = getattr(error, "code", None)
        if code is None:
            raise
        return _told({"refused": code().name, "why": error.details()})


def _told(value: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(_plain(value)), mimetype="application/json")


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | dict):
        return value
    if isinstance(value, list):
        return [_plain(each) for each in value]
    shown = {
        "kind": type(value).__name__,
        "id": getattr(value, "instance_id", None),
        "status": getattr(getattr(value, "runtime_status", None), "name", None),
        "output": getattr(value, "serialized_output", None),
        "custom_status": getattr(value, "serialized_custom_status", None),
        "deleted": getattr(value, "deleted_instance_count", None),
        "failure": getattr(getattr(value, "failure_details", None), "message", None),
    }
    return {name: each for name, each in shown.items() if each is not None}
