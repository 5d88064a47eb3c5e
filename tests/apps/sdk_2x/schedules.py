"""What the SDK makes of entities and its client: schedules, and the export of histories."""

import json
from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func
from durabletask.scheduled import ScheduledTaskClient
from durabletask.scheduled.models import ScheduleCreationOptions

schedules = df.Blueprint()
schedules.configure_scheduled_tasks()
visits: list[str] = []


@schedules.route(route="schedules/{schedule_id}", methods=["POST"])
@schedules.durable_client_input(client_name="client")
def plan_visits(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    wanted = ScheduleCreationOptions(
        schedule_id=req.route_params["schedule_id"],
        orchestration_name="visit",
        orchestration_input="harbour",
        interval=timedelta(seconds=1),
    )
    ScheduledTaskClient(client).create_schedule(wanted)
    return func.HttpResponse(status_code=202)


@schedules.route(route="schedules/{schedule_id}", methods=["DELETE"])
@schedules.durable_client_input(client_name="client")
def plan_no_visits(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    ScheduledTaskClient(client).get_schedule_client(req.route_params["schedule_id"]).delete()
    return func.HttpResponse(status_code=202)


@schedules.route(route="visits", methods=["GET"])
def list_visits(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(visits), mimetype="application/json")


@schedules.orchestration_trigger(context_name="context")
def visit(ctx, where):
    yield ctx.call_activity("note_visit", input=where)


@schedules.activity_trigger(input_name="where")
def note_visit(where: str) -> None:
    visits.append(where)
