import json
from datetime import timedelta

import azure.durable_functions as df


def orchestrator_fn(context: df.DurableOrchestrationContext):
    pipeline_endpoint = context.get_input()
    run_id = yield context.call_activity("aml_pipeline", pipeline_endpoint)
    status = {"run_id": run_id}
    for _ in range(3):
        polled = yield context.call_activity("aml_poll_status", json.dumps(status))
        context.set_custom_status(polled)
        if polled == "Finished":
            return f"run {run_id} has finished"
        yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=200))
    return "gave up"


main = df.Orchestrator.create(orchestrator_fn)
