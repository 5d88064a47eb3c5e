"""Fan-out/fan-in, with sub-orchestrations, retries and a new generation for each round."""

from datetime import timedelta

import azure.durable_functions as df
import azure.functions as func

fan_out = df.Blueprint()
attempts: dict[str, int] = {}


@fan_out.route(route="fan-out-fan-in", methods=["POST"])
@fan_out.durable_client_input(client_name="client")
async def start_fan_out(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    instance_id = await client.schedule_new_orchestration("sum_of_squares", input=req.get_json())
    await client.wait_for_orchestration_completion(instance_id, timeout=20)
    return client.create_check_status_response(req, instance_id)


@fan_out.orchestration_trigger(context_name="context")
def sum_of_squares(ctx, numbers):
    from durabletask import task

    squares = yield task.when_all([ctx.call_activity("square", input=[number]) for number in numbers])
    return sum(squares)


@fan_out.activity_trigger(input_name="numbers")
def square(numbers: list[int]) -> int:
    return numbers[0] ** 2


@fan_out.orchestration_trigger(context_name="context")
def stubborn(context: df.DurableOrchestrationContext):
    policy = df.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=3)
    tries = yield context.call_activity_with_retry("third_time_lucky", policy, context.instance_id)
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=50))
    return tries


@fan_out.activity_trigger(input_name="who")
def third_time_lucky(who: str) -> int:
    attempts[who] = attempts.get(who, 0) + 1
    if attempts[who] < 3:
        raise RuntimeError("not yet")
    return attempts[who]


@fan_out.orchestration_trigger(context_name="context")
def rounds(ctx, state):
    total = yield ctx.call_sub_orchestrator("one_round", input=state)
    if state["left"] > 1:
        ctx.continue_as_new({"left": state["left"] - 1, "total": total}, save_events=True)
        return None
    last = yield ctx.wait_for_external_event("last")
    return {"total": total, "last": last}


@fan_out.orchestration_trigger(context_name="of_round")
def one_round(ctx, state):
    return state["total"] + 1
