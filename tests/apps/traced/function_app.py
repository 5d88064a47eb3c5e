"""An app whose activities make spans of their own."""

import azure.durable_functions as df
import azure.functions as func
from opentelemetry import trace

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
tracer = trace.get_tracer("traced")


@app.route(route="start/{name}")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    with tracer.start_as_current_span("before the start"):
        instance_id = await client.start_new(req.route_params["name"])
    return await client.wait_for_completion_or_create_check_status_response(req, instance_id, 20_000)


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    first = yield context.call_activity("look", "first")
    second = yield context.call_sub_orchestrator("child")
    return [first, second]


@app.orchestration_trigger(context_name="context")
def child(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("look_later", "second"))


@app.activity_trigger(input_name="which")
def look(which: str, context: func.Context) -> str:
    with tracer.start_as_current_span(f"inner {which}"):
        return context.trace_context.Traceparent


@app.activity_trigger(input_name="which")
async def look_later(which: str, context: func.Context) -> str:
    with tracer.start_as_current_span(f"inner {which}"):
        return context.trace_context.Traceparent
