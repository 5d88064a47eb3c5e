"""Stateful entity: a counter for each key, which orchestrations and clients add to from everywhere."""

import json

import azure.durable_functions as df
import azure.functions as func

bp = df.Blueprint()


@bp.entity_trigger(context_name="context", entity_name="Counter")
def keep_count(context: df.DurableEntityContext) -> None:
    """Run one operation. An entity runs one at a time, so that nothing here needs a lock."""
    count = context.get_state(lambda: 0)
    if context.operation_name == "add":
        count += context.get_input()
        context.set_state(count)
    elif context.operation_name == "reset":
        count = 0
        context.set_state(count)
    context.set_result(count)


@bp.orchestration_trigger(context_name="context")
def counter(context: df.DurableOrchestrationContext):
    """Count visitors, group by group. Input: `{"museum": "lace", "groups": [3, 1, 4]}`; without a museum, a new one."""
    visit = context.get_input() or {}
    museum = df.EntityId("Counter", visit.get("museum", context.instance_id))
    for group in visit.get("groups", [3, 1, 4]):
        context.signal_entity(museum, "add", group)  # arrives in order, and nobody waits for it
    visitors = yield context.call_entity(museum, "get")
    return {"visitors": visitors}


@bp.route(route="counters/{key}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS)
@bp.durable_client_input(client_name="client")
async def count(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Show a counter (GET), or add to it (POST). Body: `5`."""
    entity = df.EntityId("Counter", req.route_params["key"])
    if req.method == "POST":
        try:
            await client.signal_entity(entity, "add", int(req.get_json()))
        except (TypeError, ValueError):
            return func.HttpResponse("The body must be a number, like 5.", status_code=400)
        return func.HttpResponse(status_code=202)

    state = await client.read_entity_state(entity)
    if not state.entity_exists:
        return func.HttpResponse(f"Nobody has counted '{entity.key}'.", status_code=404)
    return func.HttpResponse(json.dumps(state.entity_state), mimetype="application/json")
