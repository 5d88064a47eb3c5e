"""A mixed load for `scripts/soak`: every orchestration returns what its input alone decides."""

import time
from datetime import timedelta

import azure.durable_functions as df

app = df.DFApp()


@app.orchestration_trigger(context_name="context")
def sequence(context: df.DurableOrchestrationContext):
    total = 0
    for number in range(context.get_input()):
        total += yield context.call_activity("work", number)
    return total


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    numbers = yield context.task_all([context.call_activity("work", n) for n in range(context.get_input())])
    return sum(numbers)


@app.orchestration_trigger(context_name="context")
def timers(context: df.DurableOrchestrationContext):
    total = 0
    for number in range(context.get_input()):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=number % 3 + 0.5))
        total += yield context.call_activity("work", number)
    return total


@app.orchestration_trigger(context_name="context")
def events(context: df.DurableOrchestrationContext):
    base = yield context.call_activity("work", context.get_input())
    given = yield context.wait_for_external_event("go")
    return base + given


@app.orchestration_trigger(context_name="context")
def family(context: df.DurableOrchestrationContext):
    sums = yield context.task_all([context.call_sub_orchestrator("sequence", n) for n in range(context.get_input())])
    return sum(sums)


@app.orchestration_trigger(context_name="context")
def generations(context: df.DurableOrchestrationContext):
    left, total = context.get_input()
    total += yield context.call_activity("work", left)
    if left > 0:
        context.continue_as_new([left - 1, total])
    return total


@app.activity_trigger(input_name="number")
def work(number: int) -> int:
    time.sleep(0.02 + number % 5 * 0.03)
    return number * number
