# Imports no Order: the envelope that it arrives in names the module, which another function's import has loaded.
def confirm(order) -> str:
    return f"{order.quantity} x {order.item} for {order.total:.2f}"
