"""A monitor: look, sleep on a durable timer, look again, until what we wait for has happened or time is up."""

from datetime import timedelta

import azure.durable_functions as df

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def monitor(context: df.DurableOrchestrationContext):
    """Watch a build. Input: `{"build": "nightly", "interval_seconds": 5, "give_up_after_seconds": 60}`."""
    job = context.get_input() or {}
    build = job.get("build", "nightly")
    give_up = context.current_utc_datetime + timedelta(seconds=job.get("give_up_after_seconds", 60))
    checks = 0
    while context.current_utc_datetime < give_up:
        checks += 1
        state = yield context.call_activity("read_build", {"build": build, "check": checks})
        context.set_custom_status({"build": build, "state": state, "checks": checks})
        if state == "succeeded":
            return {"build": build, "state": state, "checks": checks}
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=job.get("interval_seconds", 5)))
    return {"build": build, "state": "gave up", "checks": checks}


@bp.activity_trigger(input_name="request")
def read_build(request: dict) -> str:
    # Stands for a request to a build server: this one is done by the third time somebody asks.
    return ("queued", "running", "succeeded")[min(request["check"], 3) - 1]
