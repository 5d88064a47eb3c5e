"""An order that travels between functions as an object, by the SDK's rule for custom classes."""

PRICES = {"lamp": 29.90, "desk": 189.00, "chair": 79.50}


class Order:
    def __init__(self, item: str, quantity: int, total: float | None = None):
        self.item = item
        self.quantity = quantity
        self.total = total

    @staticmethod
    def to_json(order) -> dict:
        return {"item": order.item, "quantity": order.quantity, "total": order.total}

    @staticmethod
    def from_json(data) -> "Order":
        return Order(data["item"], data["quantity"], data["total"])
