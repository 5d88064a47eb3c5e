import logging

import azure.durable_functions as df
import azure.functions as func
from aiohttp import ClientSession

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    instance_id = await client.start_new(req.route_params.get("functionName"), client_input=req.params.get("site"))
    logging.info(f"Started orchestration with ID = '{instance_id}'.")
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def fetch_orchestration(context: df.DurableOrchestrationContext):
    logger = logging.getLogger("fetch_orchestration")
    site = context.get_input()
    pages = [f"{site}/", f"{site}/nowhere"]
    results = yield context.task_all([context.call_activity("fetch_title", page) for page in pages])
    logger.info("fetched")
    return "; ".join(results)


@app.activity_trigger(input_name="url")
async def fetch_title(url: str) -> str:
    async with ClientSession() as session, session.get(url) as response:
        text = await response.text()
        if response.status != 200:
            return f"no title: {response.status}"
        return text.partition("<title>")[2].partition("</title>")[0]
