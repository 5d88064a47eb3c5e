"""The sample app: seven patterns that Durable Functions is known for, one module each.

`PATTERNS` is the table of contents. Every pattern starts with a POST to /api/orchestrators/{functionName};
requests.http has a line for each.
"""

import json

import azure.durable_functions as df
import azure.functions as func

import approval
import chaining
import compensation
import counter
import fan_out
import monitor
import provisioning

PATTERNS = {
    "approval": approval,
    "chaining": chaining,
    "compensation": compensation,
    "counter": counter,
    "fan_out": fan_out,
    "monitor": monitor,
    "provisioning": provisioning,
}

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for pattern in PATTERNS.values():
    app.register_functions(pattern.bp)


@app.route(route="orchestrators/{functionName}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start a pattern with the body as its input, and answer at once with the URLs that follow it."""
    return await _start(req, client, wait=False)


@app.route(route="run/{functionName}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def run(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start a pattern and answer with its output, or with the URLs of `start` if it takes more than 10 seconds."""
    return await _start(req, client, wait=True)


async def _start(req: func.HttpRequest, client: df.DurableOrchestrationClient, *, wait: bool) -> func.HttpResponse:
    name = req.route_params["functionName"].lower()
    if name not in PATTERNS:
        return func.HttpResponse(f"No pattern is called '{name}'. There are: {', '.join(PATTERNS)}.", status_code=404)
    try:
        data = json.loads(req.get_body() or b"null")
    except ValueError as error:
        return func.HttpResponse(f"The body must be JSON, the input of '{name}', or empty: {error}", status_code=400)

    instance_id = await client.start_new(name, client_input=data)
    if wait:
        return await client.wait_for_completion_or_create_check_status_response(
            req, instance_id, timeout_in_milliseconds=10_000, retry_interval_in_milliseconds=250
        )
    return client.create_check_status_response(req, instance_id)
