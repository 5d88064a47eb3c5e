"""Timers, queues and blobs, one after the other: what one function writes starts the next.

POST /api/orders → queue orders → blob receipts/<id>.json → queue shipped → orchestration
"""

import json
import logging

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orders", methods=["POST"])
@app.queue_output(arg_name="order", queue_name="orders", connection="AzureWebJobsStorage")
def take_order(req: func.HttpRequest, order: func.Out[str]) -> func.HttpResponse:
    order.set(req.get_body().decode())
    return func.HttpResponse(status_code=202)


@app.queue_trigger(arg_name="order", queue_name="orders", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="receipt", path="receipts/{id}-{rand-guid}.json", connection="AzureWebJobsStorage")
def write_receipt(order: func.QueueMessage, receipt: func.Out[str]) -> None:
    wanted = order.get_json()
    if wanted.get("fails"):
        raise ValueError(f"no stock for {wanted['id']}, attempt {order.dequeue_count}")
    receipt.set(json.dumps({"order": wanted, "attempt": order.dequeue_count}))


@app.blob_trigger(arg_name="receipt", path="receipts/{name}.json", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="$return", queue_name="shipped", connection="AzureWebJobsStorage")
def ship(receipt: func.InputStream) -> str:
    logging.info("shipping %s of %d bytes", receipt.name.partition("/")[2][:2], receipt.length)
    return json.dumps(json.loads(receipt.read())["order"])


@app.queue_trigger(arg_name="order", queue_name="shipped", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def follow_up(order: str, client: df.DurableOrchestrationClient) -> None:
    wanted = json.loads(order)
    await client.start_new("thank", instance_id=f"order-{wanted['id']}", client_input=wanted["name"])


@app.route(route="letters/{name}", methods=["PUT"])
@app.blob_output(arg_name="letter", path="letters/{name}.txt", connection="AzureWebJobsStorage")
def write_letter(req: func.HttpRequest, letter: func.Out[str]) -> func.HttpResponse:
    letter.set(req.get_body().decode())
    return func.HttpResponse(status_code=201)


@app.event_grid_trigger(arg_name="event")
@app.blob_input(arg_name="letter", path="{data.url}", connection="AzureWebJobsStorage")
@app.durable_client_input(client_name="client")
async def letter_came(event: func.EventGridEvent, letter: str, client: df.DurableOrchestrationClient) -> None:
    await client.start_new("thank", instance_id=f"letter-{event.id}", client_input=letter)


@app.orchestration_trigger(context_name="context")
def thank(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("thanks", context.get_input()))


@app.activity_trigger(input_name="name")
def thanks(name: str) -> str:
    return f"Thank you, {name}!"


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=True)
@app.queue_output(arg_name="message", queue_name="ticks", connection="AzureWebJobsStorage")
def tick(timer: func.TimerRequest, message: func.Out[str]) -> None:
    message.set("late" if timer.past_due else "on time")


@app.queue_trigger(arg_name="message", queue_name="ticks", connection="AzureWebJobsStorage")
def count(message: str) -> None:
    logging.info("tick: %s", message)


@app.event_hub_message_trigger(arg_name="event", event_hub_name="hub", connection="HUB")
def elsewhere(event: func.EventHubEvent) -> None:
    logging.info("never")
