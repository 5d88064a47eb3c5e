"""The app that benchmarks put under load: orchestrations whose activities do next to nothing."""

import json

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
greeted = []


@app.route(route="greeted", methods=["GET"])
def count_greeted(req: func.HttpRequest) -> str:
    """How often say_hello ran: asking this costs the hub nothing."""
    return str(len(greeted))


@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    data = json.loads(req.get_body() or b"null")
    instance_id = await client.start_new(req.route_params["name"], client_input=data)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def hello(context: df.DurableOrchestrationContext):
    first = yield context.call_activity("say_hello", "Tokyo")
    second = yield context.call_activity("say_hello", "Seattle")
    third = yield context.call_activity("say_hello", "London")
    return [first, second, third]


@app.orchestration_trigger(context_name="context")
def sequence(context: df.DurableOrchestrationContext):
    done = 0
    for number in range(context.get_input()):
        yield context.call_activity("say_hello", str(number))
        done += 1
    return done


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    tasks = [context.call_activity("say_hello", str(number)) for number in range(context.get_input())]
    greetings = yield context.task_all(tasks)
    return len(greetings)


@app.orchestration_trigger(context_name="context")
def approval(context: df.DurableOrchestrationContext):
    order = context.get_input()
    is_approved = yield context.wait_for_external_event("approval")
    return {"order": order, "approved": is_approved}


@app.activity_trigger(input_name="city")
def say_hello(city: str) -> str:
    greeted.append(city)
    return f"Hello {city}!"
