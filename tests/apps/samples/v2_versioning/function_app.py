import azure.durable_functions as df
import azure.functions as func

my_app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@my_app.route(route="orchestrators/{functionName}")
@my_app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    function_name = req.route_params.get("functionName")
    version = req.params.get("version")
    if version:
        instance_id = await client.start_new(function_name, version=version)
    else:
        instance_id = await client.start_new(function_name)
    return client.create_check_status_response(req, instance_id)


@my_app.orchestration_trigger(context_name="context")
def my_orchestrator(context: df.DurableOrchestrationContext):
    if context.version == "1.0":
        activity_result = yield context.call_activity("activity_a")
    else:
        activity_result = yield context.call_activity("activity_b")
    child = yield context.call_sub_orchestrator("my_sub_orchestrator", version="0.9")
    inherited = yield context.call_sub_orchestrator("my_sub_orchestrator")
    return [context.version, activity_result, child, inherited]


@my_app.orchestration_trigger(context_name="context")
def my_sub_orchestrator(context: df.DurableOrchestrationContext):
    return f"sub orchestration of version {context.version}"


# They are called without an input.
@my_app.activity_trigger(input_name="input")
def activity_a(input) -> str:
    return f"a saw {input}"


@my_app.activity_trigger(input_name="input")
def activity_b(input) -> str:
    return f"b saw {input}"
