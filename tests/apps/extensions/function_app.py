"""An app on the packages azurefunctions-extensions-*: requests and answers of FastAPI, clients of blobs."""

import asyncio
import json

import azure.durable_functions as df
import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, StreamingResponse

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="texts/{name}", methods=["PUT"])
@app.durable_client_input(client_name="client")
@app.blob_input(arg_name="target", path="texts/{name}.txt", connection="AzureWebJobsStorage")
async def put_text(req: Request, client: df.DurableOrchestrationClient, target: blob.BlobClient) -> JSONResponse:
    """Store what comes, part by part, then count its letters."""
    parts = [part async for part in req.stream()]
    await asyncio.to_thread(target.upload_blob, b"".join(parts), overwrite=True)
    name = req.path_params["name"]
    await client.start_new("count", f"count-{name}", name)
    return JSONResponse(client.create_http_management_payload(f"count-{name}"), status_code=202)


@app.route(route="follow/{instance}")
@app.durable_client_input(client_name="client")
async def follow(req: Request, client: df.DurableOrchestrationClient) -> StreamingResponse:
    """Tell each change of an instance until its end, as server-sent events."""

    async def events():
        last = None
        while last not in ("Completed", "Failed"):
            status = await client.get_status(req.path_params["instance"])
            if status.runtime_status.value != last:
                last = status.runtime_status.value
                yield f"data: {json.dumps({'status': last, 'output': status.output})}\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.orchestration_trigger(context_name="context")
def count(context: df.DurableOrchestrationContext):
    name = context.get_input()
    letters = yield context.call_activity("letters_of", name)
    yield context.wait_for_external_event("seen")
    return {"name": name, "letters": letters}


@app.activity_trigger(input_name="name")
@app.blob_input(arg_name="text", path="texts/{data}.txt", connection="AzureWebJobsStorage")
def letters_of(name: str, text: blob.StorageStreamDownloader) -> int:
    return sum(len(part) for part in text.chunks())


@app.blob_trigger(arg_name="text", path="texts/{name}.txt", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def seen(text: blob.BlobClient, client: df.DurableOrchestrationClient) -> None:
    name = text.blob_name.removesuffix(".txt")
    size = await asyncio.to_thread(lambda: text.get_blob_properties().size)
    print(f"seen: {name}, {size} bytes")
    await client.raise_event(f"count-{name}", "seen", None)
