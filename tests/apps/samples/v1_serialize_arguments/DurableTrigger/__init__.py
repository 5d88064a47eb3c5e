import azure.durable_functions as df
import azure.functions as func

from ..shared_code.MyClasses import SerializableClass


async def main(req: func.HttpRequest, starter: str, message):
    client = df.DurableOrchestrationClient(starter)
    instance_id = await client.start_new(req.route_params["functionName"], client_input=SerializableClass(5))
    response = client.create_check_status_response(req, instance_id)
    message.set(response)
