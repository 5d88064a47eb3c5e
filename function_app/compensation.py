"""Error handling with compensation: when a step fails, what was done before is undone, the newest first (a saga)."""

import logging

import azure.durable_functions as df

STEPS = ("hotel", "flight", "car")

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def compensation(context: df.DurableOrchestrationContext):
    """Book a trip or nothing at all. Input: `{"city": "Lisbon", "sold_out": ["car"]}`."""
    trip = context.get_input() or {"city": "Lisbon", "sold_out": ["car"]}
    booked = []
    for step in STEPS:
        try:
            yield context.call_activity("book", {**trip, "step": step})
        except Exception:
            cancelled = []
            for earlier in reversed(booked):
                yield context.call_activity("cancel", {**trip, "step": earlier})
                cancelled.append(earlier)
            return {"city": trip["city"], "booked": False, "failed": step, "cancelled": cancelled}
        booked.append(step)
    return {"city": trip["city"], "booked": True, "steps": booked}


@bp.activity_trigger(input_name="order")
def book(order: dict) -> None:
    if order["step"] in order.get("sold_out", []):
        raise RuntimeError(f"no {order['step']} left in {order['city']}")
    logging.info("Booked the %s in %s", order["step"], order["city"])


@bp.activity_trigger(input_name="order")
def cancel(order: dict) -> None:
    logging.info("Cancelled the %s in %s", order["step"], order["city"])
