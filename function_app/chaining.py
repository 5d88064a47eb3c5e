"""Function chaining: steps in order, each working on what the one before it made."""

import azure.durable_functions as df

PRICES = {"lamp": 29.90, "desk": 189.00, "chair": 79.50}

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def chaining(context: df.DurableOrchestrationContext):
    """Take an order from its lines to a confirmation. Input: `{"item": "lamp", "quantity": 2}`."""
    order = context.get_input() or {"item": "lamp", "quantity": 2}
    order = yield context.call_activity("check_order", order)
    order = yield context.call_activity("price_order", order)
    confirmation = yield context.call_activity("confirm_order", order)
    return confirmation


@bp.activity_trigger(input_name="order")
def check_order(order: dict) -> dict:
    if order["item"] not in PRICES:
        raise ValueError(f"there is no {order['item']} for sale; there are: {', '.join(PRICES)}")
    return {"item": order["item"], "quantity": max(1, int(order.get("quantity", 1)))}


@bp.activity_trigger(input_name="order")
def price_order(order: dict) -> dict:
    return {**order, "total": round(PRICES[order["item"]] * order["quantity"], 2)}


@bp.activity_trigger(input_name="order")
def confirm_order(order: dict) -> str:
    return f"{order['quantity']} x {order['item']} for {order['total']:.2f}"
