import logging

import azure.durable_functions as df
import azure.functions as func


async def main(msg: func.QueueMessage, starter: str) -> None:
    client = df.DurableOrchestrationClient(starter)
    payload = msg.get_body().decode("utf-8")
    instance_id = await client.start_new("Orchestrator", instance_id=payload, client_input=payload)
    logging.info("Started orchestration with ID = '%s'.", instance_id)
