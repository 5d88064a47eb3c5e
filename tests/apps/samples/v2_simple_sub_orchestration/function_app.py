import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client):
    instance_id = await client.start_new(req.route_params["functionName"])
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def parent_orchestrator(context: df.DurableOrchestrationContext):
    rounds = [context.call_sub_orchestrator("child_orchestrator", name) for name in ("first", "second")]
    results = yield context.task_all(rounds)
    return results


@app.orchestration_trigger(context_name="context")
def child_orchestrator(context: df.DurableOrchestrationContext):
    result = yield context.call_activity("hello", context.get_input())
    return result


@app.activity_trigger(input_name="name")
def hello(name: str) -> str:
    return f"Hello {name}!"
