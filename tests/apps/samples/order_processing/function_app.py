import logging
from time import sleep

import azure.durable_functions as df
import azure.functions as func
from models import *  # noqa: F403

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orchestrators/{functionName}")
@app.durable_client_input(client_name="client")
async def http_start(req: func.HttpRequest, client):
    order = OrderPayload("milk", 5, 20)  # noqa: F405
    instance_id = await client.start_new(req.route_params["functionName"], client_input=order)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def process_orchestrator(context: df.DurableOrchestrationContext):
    order: OrderPayload = context.get_input()  # noqa: F405
    retry_options = df.RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=3)
    yield context.call_activity("notify_activity", f"Received order {order.name}")
    request = InventoryRequest(order.name, order.quantity)  # noqa: F405
    stock: InventoryResult = yield context.call_activity_with_retry(  # noqa: F405
        "reserve_inventory", retry_options, request
    )
    if not stock.success:
        return {"processed": False}
    yield context.call_activity_with_retry("process_payment", retry_options, order)
    yield context.call_activity("notify_activity", "Order completed")
    return {"processed": True, "cost": order.total_cost, "left": stock.left}


@app.activity_trigger(input_name="message")
def notify_activity(message: str):
    logging.info(message)


@app.activity_trigger(input_name="request")
def reserve_inventory(request: InventoryRequest) -> InventoryResult:  # noqa: F405
    sleep(0.05)
    return InventoryResult(request.quantity <= 10, 10 - request.quantity)  # noqa: F405


attempts = 0


@app.activity_trigger(input_name="order")
def process_payment(order: OrderPayload) -> None:  # noqa: F405
    global attempts
    attempts += 1
    if attempts < 3:
        raise ConnectionError("the bank does not answer")
