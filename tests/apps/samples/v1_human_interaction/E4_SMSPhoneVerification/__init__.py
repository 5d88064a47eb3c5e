from datetime import timedelta

import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    phone_number = context.get_input()
    if not phone_number:
        raise Exception("A phone number is required as input")
    challenge_code = yield context.call_activity("SendSMSChallenge", phone_number)
    timeout_task = context.create_timer(context.current_utc_datetime + timedelta(seconds=180))

    authorized = False
    for _ in range(3):
        response_task = context.wait_for_external_event("SmsChallengeResponse")
        winner = yield context.task_any([response_task, timeout_task])
        if winner != response_task:
            break
        if int(response_task.result) == challenge_code:
            authorized = True
            break
    if not timeout_task.is_completed:
        timeout_task.cancel()
    return authorized


main = df.Orchestrator.create(orchestrator_function)
