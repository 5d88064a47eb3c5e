"""Human interaction: an approval races a timer; if nobody answers in time, it escalates."""

import json
import logging
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

EVENT = "Approval"

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def approval(context: df.DurableOrchestrationContext):
    """Ask for approval of an expense. Input: `{"expense": "Train to Turin, 84.00", "timeout_seconds": 60}`."""
    request = context.get_input() or {}
    expense = request.get("expense", "Train to Turin, 84.00")
    yield context.call_activity("ask_for_approval", {"expense": expense, "instance_id": context.instance_id})
    context.set_custom_status("waiting for approval")

    deadline = context.current_utc_datetime + timedelta(seconds=request.get("timeout_seconds", 60))
    timeout = context.create_timer(deadline)
    answer = context.wait_for_external_event(EVENT)
    winner = yield context.task_any([answer, timeout])

    if winner == timeout:
        context.set_custom_status("escalated")
        manager = yield context.call_activity("escalate", expense)
        return {"expense": expense, "result": "escalated", "to": manager}

    timeout.cancel()  # otherwise the instance would stay until the timer fires
    # An event that a client function raised arrives as JSON text, one posted to the management API as a value.
    decision = json.loads(answer.result) if isinstance(answer.result, str) else answer.result
    result = "approved" if decision.get("approved") else "rejected"
    context.set_custom_status(result)
    return {"expense": expense, "result": result, "by": decision.get("by", "somebody")}


@bp.activity_trigger(input_name="request")
def ask_for_approval(request: dict) -> None:
    # A real app would send a mail or a chat message here, with a link to the route below.
    logging.info("Please approve: %s. POST to /api/approvals/%s", request["expense"], request["instance_id"])


@bp.activity_trigger(input_name="expense")
def escalate(expense: str) -> str:
    logging.warning("Nobody answered in time, so the manager decides: %s", expense)
    return "manager"


@bp.route(route="approvals/{instanceId}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@bp.durable_client_input(client_name="client")
async def decide(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Answer a request. Body: `{"approved": true, "by": "Ada"}`."""
    try:
        decision = req.get_json()
    except ValueError:
        decision = None
    if not isinstance(decision, dict):
        return func.HttpResponse('The body must be like {"approved": true, "by": "Ada"}.', status_code=400)

    instance_id = req.route_params["instanceId"]
    status = await client.get_status(instance_id)
    if not status:
        return func.HttpResponse(f"Nobody asked for approval '{instance_id}'.", status_code=404)
    if status.runtime_status not in (df.OrchestrationRuntimeStatus.Running, df.OrchestrationRuntimeStatus.Pending):
        return func.HttpResponse(f"Approval '{instance_id}' is no longer open.", status_code=410)
    await client.raise_event(instance_id, EVENT, decision)
    return func.HttpResponse(status_code=202)
