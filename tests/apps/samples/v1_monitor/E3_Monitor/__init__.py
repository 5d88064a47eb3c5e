from datetime import timedelta

import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    request = context.get_input()
    expiry_time = context.current_utc_datetime + timedelta(minutes=5)
    while context.current_utc_datetime < expiry_time:
        too_many = yield context.call_activity("E3_TooManyOpenIssues", request["repo"])
        if too_many:
            alert = yield context.call_activity("E3_SendAlert", request["phone"])
            context.set_custom_status("issues")
            return alert
        context.set_custom_status("no issues")
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=request["polling_seconds"]))
    return "Monitor completed!"


main = df.Orchestrator.create(orchestrator_function)
