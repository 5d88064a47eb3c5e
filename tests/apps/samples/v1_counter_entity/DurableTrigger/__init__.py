import azure.durable_functions as df
import azure.functions as func


# The answer goes through a parameter that has no annotation.
async def main(req: func.HttpRequest, starter: str, message):
    client = df.DurableOrchestrationClient(starter)
    instance_id = await client.start_new(req.route_params["functionName"])
    response = client.create_check_status_response(req, instance_id)
    message.set(response)
