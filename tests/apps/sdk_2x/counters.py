"""Durable entities: as a class, as a function of the older form, called and locked by orchestrations."""

import json

import azure.durable_functions as df
import azure.functions as func
from durabletask.entities import DurableEntity, EntityInstanceId

counters = df.Blueprint()


@counters.entity_trigger(context_name="context")
class Counter(DurableEntity):
    def add(self, amount: int) -> int:
        total = self.get_state(int, 0) + amount
        self.set_state(total)
        return total

    def get(self, _) -> int:
        return self.get_state(int, 0)

    def fail(self, why: str) -> None:
        self.set_state(-1)
        raise ValueError(why)

    def announce(self, amount: int) -> str:
        self.signal_entity(EntityInstanceId("ledger", self.entity_context.entity_id.key), "note", amount)
        return self.schedule_new_orchestration("sum_of_squares", input=[amount])


@counters.entity_trigger(context_name="context", entity_name="ledger")
def ledger(context: df.DurableEntityContext) -> None:
    notes = context.get_state(initializer=list)
    if context.operation_name == "note":
        notes.append(context.get_input())
        context.set_state(notes)
    context.set_result(notes)


@counters.route(route="counters/{key}", methods=["POST"])
@counters.durable_client_input(client_name="client")
async def add(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    counter = EntityInstanceId("Counter", req.route_params["key"])
    await client.signal_entity(counter, "add", input=req.get_json()["amount"])
    return func.HttpResponse(status_code=202)


@counters.route(route="counters/{key}", methods=["GET"])
@counters.durable_client_input(client_name="client")
async def look(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    found = await client.get_entity(EntityInstanceId("Counter", req.route_params["key"]))
    listed = await client.get_all_entities()
    told = {
        "state": found and found.get_state(int),
        "ids": sorted(str(each.id) for each in listed),
    }
    return func.HttpResponse(json.dumps(told), mimetype="application/json")


@counters.orchestration_trigger(context_name="context")
def transfer(ctx, given):
    source, target = (EntityInstanceId("Counter", given[name]) for name in ("source", "target"))
    with (yield ctx.lock_entities([source, target])):
        if (yield ctx.call_entity(source, "get")) < given["amount"]:
            return "too little"
        yield ctx.call_entity(source, "add", -given["amount"])
        return (yield ctx.call_entity(target, "add", given["amount"]))


@counters.orchestration_trigger(context_name="context")
def troubled(ctx, key):
    counter = EntityInstanceId("Counter", key)
    try:
        yield ctx.call_entity(counter, "fail", "out of order")
    except Exception as error:
        failure = str(error)
    return {"failure": failure, "total": (yield ctx.call_entity(counter, "get"))}


@counters.orchestration_trigger(context_name="context")
def announced(ctx, key):
    started = yield ctx.call_entity(EntityInstanceId("Counter", key), "announce", 3)
    notes = yield ctx.call_entity(EntityInstanceId("ledger", key), "read")
    return {"started": started, "notes": notes}
