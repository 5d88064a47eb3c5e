import azure.durable_functions as df
import azure.functions as func

from ..shared.approvals import EVENT


async def main(req: func.HttpRequest, starter: str, message):
    client = df.DurableOrchestrationClient(starter)
    instance_id = req.route_params["instanceId"]
    if not await client.get_status(instance_id):
        message.set(func.HttpResponse(f"Nobody asked for approval '{instance_id}'.", status_code=404))
        return
    await client.raise_event(instance_id, EVENT, req.get_json())
    message.set(func.HttpResponse(f"decided {instance_id}", status_code=202))
