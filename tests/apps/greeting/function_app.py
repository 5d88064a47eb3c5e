"""A function that asks for a key, an orchestration, and an activity that answers with an address of the management API.

What the HTTP front of a host is tested with: the address tells by which name and key the host believes to be reached.
"""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client):
    instance_id = await client.start_new("hello", client_input="Ada")
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def hello(context):
    return (yield context.call_activity("greet", context.get_input()))


@app.activity_trigger(input_name="name")
@app.durable_client_input(client_name="client")
def greet(name: str, client) -> str:
    return client.create_http_management_payload("x")["statusQueryGetUri"]
