import azure.durable_functions as df
import azure.functions as func
from shared_code.MyClasses import SerializableClass

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client):
    instance_id = await client.start_new(req.route_params["functionName"], client_input=SerializableClass(5))
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def durable_orchestration(context: df.DurableOrchestrationContext):
    given: SerializableClass = context.get_input()
    doubled: SerializableClass = yield context.call_activity("durable_activity", given)
    return [given.show_number(), doubled.show_number(), doubled]


@app.activity_trigger(input_name="value")
def durable_activity(value: SerializableClass) -> SerializableClass:
    return SerializableClass(value.number * 2)
