"""Work that leaves a trace outside of the hub, so that a test can kill the host in the middle and count afterwards."""

import os
import time

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    job = context.get_input()
    numbers = yield context.task_all(
        [context.call_activity("leave_trace", {**job, "number": number}) for number in range(job["size"])]
    )
    return sum(numbers)


@app.orchestration_trigger(context_name="context")
def sequence(context: df.DurableOrchestrationContext):
    job = context.get_input()
    total = 0
    for number in range(job["size"]):
        total += yield context.call_activity("leave_trace", {**job, "number": number})
    return total


@app.orchestration_trigger(context_name="context")
def spread(context: df.DurableOrchestrationContext):
    """Run activities side by side; return the processes that they ran in."""
    job = context.get_input()
    ids = yield context.task_all([context.call_activity("process_id", job["seconds"]) for _ in range(job["size"])])
    return sorted(set(ids))


@app.activity_trigger(input_name="seconds")
def process_id(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


@app.activity_trigger(input_name="job")
def leave_trace(job: dict) -> int:
    time.sleep(job["seconds"])
    # One write in append mode is atomic, also between processes.
    trace = os.open(job["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(trace, f"{job['number']}\n".encode())
    finally:
        os.close(trace)
    return job["number"]
