"""An agent as an entity: it works for long in a thread, while requests wait for it."""

import asyncio
import json
import time

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.entity_trigger(context_name="context")
def chat_agent(context: df.DurableEntityContext):
    history = context.get_state(list)
    if context.operation_name == "message":
        prompt = context.get_input()
        time.sleep(0.3)  # a model that thinks
        history = [*history, {"prompt": prompt, "answer": prompt[::-1]}]
    elif context.operation_name == "reset":
        history = []
    context.set_state(history)
    context.set_result(history[-1] if history else None)


@app.route(route="agent/chat/{session_id}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def chat(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    agent = df.EntityId("chat_agent", req.route_params["session_id"])
    known = await turns(client, agent)
    await client.signal_entity(agent, "message", req.get_json()["prompt"])
    while (found := await turns(client, agent)) == known:
        await asyncio.to_thread(time.sleep, 0.05)
    return func.HttpResponse(json.dumps(found[-1]["answer"]), mimetype="application/json")


@app.route(route="agent/history/{session_id}", methods=["GET"])
@app.durable_client_input(client_name="client")
async def history(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    agent = df.EntityId("chat_agent", req.route_params["session_id"])
    return func.HttpResponse(json.dumps([each["prompt"] for each in await turns(client, agent)]))


async def turns(client: df.DurableOrchestrationClient, agent: df.EntityId) -> list:
    entity = await client.read_entity_state(agent)
    return entity.entity_state if entity.entity_exists else []


@app.route(route="ping", methods=["GET"])
def ping(req: func.HttpRequest) -> str:
    return "pong"
