import json
from datetime import timedelta

import azure.durable_functions as df

from ..shared.approvals import EVENT


def approval(context: df.DurableOrchestrationContext):
    request = context.get_input() or {}
    context.set_custom_status("waiting for approval")
    deadline = context.current_utc_datetime + timedelta(seconds=request.get("timeout_seconds", 60))
    timeout = context.create_timer(deadline)
    answer = context.wait_for_external_event(EVENT)
    winner = yield context.task_any([answer, timeout])
    if winner == timeout:
        return "escalated"
    timeout.cancel()
    decision = json.loads(answer.result) if isinstance(answer.result, str) else answer.result
    return "approved" if decision["approved"] else "rejected"


main = df.Orchestrator.create(approval)
