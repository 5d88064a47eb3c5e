"""Function chaining, with an orchestrator of the older form, and what happens when an activity fails."""

import azure.durable_functions as df
import azure.functions as func

chaining = df.Blueprint()


@chaining.route(route="orchestrators/{name}", methods=["POST"])
@chaining.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableFunctionsClient) -> func.HttpResponse:
    given = req.get_json() if req.get_body() else None
    instance_id = await client.schedule_new_orchestration(req.route_params["name"], input=given)
    return client.create_check_status_response(req, instance_id)


@chaining.orchestration_trigger(context_name="context")
def hello_cities(context: df.DurableOrchestrationContext):
    greetings = []
    for city in ("Trieste", "Osaka", "Lima"):
        greetings.append((yield context.call_activity("say_hello", city)))
        context.set_custom_status({"greeted": len(greetings)})
    return greetings


@chaining.activity_trigger(input_name="city")
def say_hello(city: str) -> str:
    return f"Hello {city}!"


@chaining.orchestration_trigger(context_name="context")
def risky(ctx, given):
    try:
        yield ctx.call_activity("refuse", input=given)
    except Exception as error:
        return f"caught {type(error).__name__}: {error}"


@chaining.orchestration_trigger(context_name="context")
def careless(ctx, given):
    yield ctx.call_sub_orchestrator("careless_child", input=given)


@chaining.orchestration_trigger(context_name="context")
def careless_child(ctx, given):
    yield ctx.call_activity("refuse", input=given)


@chaining.activity_trigger(input_name="what")
def refuse(what: str) -> None:
    raise ValueError(f"no {what} today")


@chaining.orchestration_trigger(context_name="context")
def fetch(context: df.DurableOrchestrationContext):
    answer = yield context.call_http("GET", context.get_input())
    return {"status": answer.status_code, "content": answer.content}
