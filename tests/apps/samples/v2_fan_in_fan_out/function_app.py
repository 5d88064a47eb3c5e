import json
import os
import pathlib

import azure.durable_functions as df
import azure.functions as func
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

myApp = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

blob_service_client = BlobServiceClient.from_connection_string(os.getenv("AzureWebJobsStorage"))
CONTAINER = "v2-sample-backups"


@myApp.route(route="orchestrators/{functionName}")
@myApp.durable_client_input(client_name="client")
async def HttpStart(req: func.HttpRequest, client):
    payload: str = json.loads(req.get_body().decode())
    instance_id = await client.start_new(req.route_params["functionName"], client_input=payload)
    return client.create_check_status_response(req, instance_id)


@myApp.orchestration_trigger(context_name="context")
def E2_BackupSiteContent(context: df.DurableOrchestrationContext):
    root_directory: str = context.get_input()
    files = yield context.call_activity("E2_GetFileList", root_directory)
    results = yield context.task_all([context.call_activity("E2_CopyFileToBlob", file) for file in files])
    return sum(results)


@myApp.activity_trigger(input_name="rootDirectory")
def E2_GetFileList(rootDirectory: str):
    return [os.path.join(path, name) for path, _, names in os.walk(rootDirectory) for name in sorted(names)]


@myApp.activity_trigger(input_name="filePath")
def E2_CopyFileToBlob(filePath: str):
    try:
        blob_service_client.create_container(CONTAINER)
    except ResourceExistsError:
        pass
    path = pathlib.Path(filePath)
    blob = blob_service_client.get_blob_client(container=CONTAINER, blob=f"{path.parent.name}/{path.name}")
    blob.upload_blob(path.read_bytes())
    return path.stat().st_size
