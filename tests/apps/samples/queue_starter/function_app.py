"""A queue starts an orchestration for each message; an HTTP function fills the queue, an activity writes a blob."""

import json

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="jobs", methods=["POST"])
@app.queue_output(arg_name="jobs", queue_name="%JOBS_QUEUE%", connection="AzureWebJobsStorage")
def enqueue(req: func.HttpRequest, jobs: func.Out[list[str]]) -> func.HttpResponse:
    names = req.get_json()
    jobs.set([json.dumps({"name": name}) for name in names])
    return func.HttpResponse(str(len(names)), status_code=202)


@app.queue_trigger(arg_name="job", queue_name="%JOBS_QUEUE%", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def start_job(job: func.QueueMessage, client: df.DurableOrchestrationClient):
    wanted = json.loads(job.get_body().decode("utf-8"))
    await client.start_new("run_job", instance_id=wanted["name"], client_input=wanted)


@app.orchestration_trigger(context_name="context")
def run_job(context: df.DurableOrchestrationContext):
    report = yield context.call_activity("write_report", context.get_input())
    return report


@app.activity_trigger(input_name="job")
@app.blob_output(arg_name="report", path="reports/{data.name}.txt", connection="AzureWebJobsStorage")
def write_report(job: dict, report: func.Out[str]) -> str:
    text = f"report of {job['name']}"
    report.set(text)
    return text


@app.route(route="reports/{name}", methods=["GET"])
@app.blob_input(arg_name="report", path="reports/{name}.txt", connection="AzureWebJobsStorage")
def read_report(req: func.HttpRequest, report: str) -> func.HttpResponse:
    if report is None:
        return func.HttpResponse(status_code=404)
    return func.HttpResponse(report)
