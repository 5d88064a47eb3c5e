import azure.durable_functions as df

from ..shared.orders import Order


def chaining(context: df.DurableOrchestrationContext):
    order = Order(**(context.get_input() or {"item": "lamp", "quantity": 2}))
    order = yield context.call_activity("price_order", order)
    confirmation = yield context.call_activity("confirm_order", order)
    return confirmation


main = df.Orchestrator.create(chaining)
