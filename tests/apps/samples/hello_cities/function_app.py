import azure.durable_functions as df
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
CITIES = ["Trieste", "Osaka", "Lima"]


@app.route(route="StartChaining", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_chaining(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    instance_id = await client.start_new("chaining_orchestrator")
    return client.create_check_status_response(req, instance_id)


@app.route(route="StartFanOutFanIn", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start_fan_out_fan_in(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    instance_id = await client.start_new("fan_out_orchestrator")
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def chaining_orchestrator(context: df.DurableOrchestrationContext):
    result = []
    for city in CITIES:
        result.append((yield context.call_activity("say_hello", city)))
    return result


@app.orchestration_trigger(context_name="context")
def fan_out_orchestrator(context: df.DurableOrchestrationContext):
    results = yield context.task_all([context.call_activity("say_hello", city) for city in CITIES])
    return " ".join(results)


@app.activity_trigger(input_name="name")
def say_hello(name: str) -> str:
    return f"Hello {name}!"
