import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.timer_trigger(schedule="0 0 3 * * *", arg_name="timer", run_on_startup=False)
@app.durable_client_input(client_name="client")
async def nightly(timer: func.TimerRequest, client: df.DurableOrchestrationClient):
    await client.start_new("clean_up", client_input={"past_due": timer.past_due})


@app.route(route="clean_up", methods=["POST"])
@app.durable_client_input(client_name="client")
async def by_hand(req: func.HttpRequest, client: df.DurableOrchestrationClient):
    instance_id = await client.start_new("clean_up", client_input={"past_due": False})
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def clean_up(context: df.DurableOrchestrationContext):
    removed = yield context.call_activity("remove", context.get_input())
    return removed


@app.activity_trigger(input_name="options")
def remove(options: dict) -> str:
    return "late" if options["past_due"] else "on time"
