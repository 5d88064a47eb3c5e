import json

import azure.durable_functions as df
import azure.functions as func


async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
    client = df.DurableOrchestrationClient(starter)
    entity_id = df.EntityId(req.route_params["entityName"], req.route_params["entityKey"])
    entity = await client.read_entity_state(entity_id)
    return func.HttpResponse(json.dumps([entity.entity_exists, entity.entity_state]))
