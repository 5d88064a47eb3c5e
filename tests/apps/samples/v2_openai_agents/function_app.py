"""Agents whose model calls are activities; a model that only counts words stands in for the service."""

import asyncio

import azure.functions as func
from order_agents import runner

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def orchestration_starter(req: func.HttpRequest, client):
    instance_id = await client.start_new(req.route_params["functionName"])
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def hello_world(context):
    answer = yield from runner(context, "Tell me about recursion.")
    return answer


@app.activity_trigger(input_name="input")
async def run_model(input: str):
    await asyncio.sleep(0)
    return {"words": len(input.split())}
