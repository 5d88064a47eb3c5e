"""What the SDK makes of entities and its client: schedules, and the export of histories."""

import json
from datetime import datetime, timedelta, timezone

import azure.durable_functions as df
import azure.functions as func
from durabletask.extensions.history_export import ExportHistoryClient
from durabletask.extensions.history_export.models import ExportDestination, ExportJobCreationOptions, ExportMode
from durabletask.scheduled import ScheduledTaskClient
from durabletask.scheduled.models import ScheduleCreationOptions

schedules = df.Blueprint()
schedules.configure_scheduled_tasks()
visits: list[str] = []
exported: dict[str, int] = {}


class Exporter:
    """Where histories go."""

    def write(self, *, instance_id: str, payload: bytes, **_: object) -> None:
        exported[instance_id] = len(payload)


exporter = Exporter()
schedules.configure_history_export(exporter)


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


@schedules.route(route="exports/{job_id}", methods=["POST"])
@schedules.durable_client_input(client_name="client")
def export(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    exports = ExportHistoryClient(client, exporter)
    window = ExportJobCreationOptions(
        mode=ExportMode.BATCH,
        completed_time_from=datetime(2000, 1, 1, tzinfo=timezone.utc),
        completed_time_to=datetime.now(timezone.utc),
        destination=ExportDestination("histories"),
    )
    exports.create_job(window, job_id=req.route_params["job_id"])
    told = exports.wait_for_job(req.route_params["job_id"], timeout=20)
    body = {"status": told.status.name, "failed": told.failed_instances, "exported": exported}
    return func.HttpResponse(json.dumps(body), mimetype="application/json")


@schedules.orchestration_trigger(context_name="context")
def visit(ctx, where):
    yield ctx.call_activity("note_visit", input=where)


@schedules.activity_trigger(input_name="where")
def note_visit(where: str) -> None:
    visits.append(where)
