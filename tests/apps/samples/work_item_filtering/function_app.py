import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


# Starts whatever it is told to; other apps of the same hub may have it.
@app.route(route="start/{name}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    instance_id = await client.start_new(req.route_params["name"], client_input=req.params.get("input"))
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def orchestration_a(context: df.DurableOrchestrationContext):
    child = yield context.call_sub_orchestrator("child_a", context.get_input())
    return f"a: {child}"


@app.orchestration_trigger(context_name="context")
def child_a(context: df.DurableOrchestrationContext):
    result = yield context.call_activity("work_a", context.get_input())
    return result


@app.activity_trigger(input_name="item")
def work_a(item: str) -> str:
    return f"worked on {item}"
