"""Two of its functions need what this host has not: a model behind an input binding, and a blob trigger."""

import logging

import azure.durable_functions as df
import azure.functions as func

my_app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@my_app.blob_trigger(arg_name="myblob", path="input", connection="BLOB_STORAGE_ENDPOINT")
@my_app.durable_client_input(client_name="client")
async def blob_trigger(myblob: func.InputStream, client):
    logging.info(f"Name: {myblob.name}, size: {myblob.length} bytes")
    await client.start_new("process_document", client_input=myblob.name.split("/")[1])


@my_app.orchestration_trigger(context_name="context")
def process_document(context):
    blob_name: str = context.get_input()
    retry_options = df.RetryOptions(100, 2)
    text = yield context.call_activity_with_retry("analyze_pdf", retry_options, blob_name)
    context.set_custom_status("analyzed")
    summary = yield context.call_activity("summarize_text", text)
    return summary


@my_app.activity_trigger(input_name="blobName")
def analyze_pdf(blobName):
    return f"text of {blobName}"


@my_app.activity_trigger(input_name="results")
@my_app.generic_input_binding(
    arg_name="response", type="textCompletion", prompt="Summarize {results}", model="%CHAT_MODEL_DEPLOYMENT_NAME%"
)
def summarize_text(results, response: str):
    return response
