"""Work that ends the process it runs in, beside work that does not."""

import os
import time

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def careful(context: df.DurableOrchestrationContext):
    """Call a deadly activity, and say what was caught."""
    try:
        result = yield context.call_activity("leave", 1)
    except df.TaskFailedError as error:
        return {"type": error.error_type, "caused": error.is_caused_by("PoisonedMessageError"), "text": str(error)}
    return result


@app.orchestration_trigger(context_name="context")
def busy(context: df.DurableOrchestrationContext):
    """Work that is in hand whenever the process ends."""
    results = yield context.task_all([context.call_activity("work", number) for number in range(10)])
    return sum(results)


@app.activity_trigger(input_name="code")
def leave(code: int) -> int:
    # Not at once, so that other work is in hand too.
    time.sleep(0.3)
    os._exit(code)


@app.activity_trigger(input_name="number")
def work(number: int) -> int:
    time.sleep(0.3)
    return number
