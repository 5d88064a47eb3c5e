"""The app object lives in a package, as in larger projects."""

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client, context: func.Context):
    instance_id = await client.start_new(req.route_params["functionName"], client_input=req.get_json())
    answer = client.create_check_status_response(req, instance_id)
    answer.headers["x-invocation"] = context.invocation_id
    return answer


@app.orchestration_trigger(context_name="context", orchestration="Sum_Numbers")
def sum_numbers(context: df.DurableOrchestrationContext):
    doubled = yield context.task_all([context.call_activity("Double", number) for number in context.get_input()])
    return sum(doubled)


@app.activity_trigger(input_name="number", activity="Double")
def double(number: int) -> int:
    return number * 2
