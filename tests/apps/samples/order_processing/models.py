import json


class OrderPayload:
    def __init__(self, name: str, quantity: int, total_cost: float):
        self.name = name
        self.quantity = quantity
        self.total_cost = total_cost

    @staticmethod
    def to_json(obj: "OrderPayload") -> str:
        return json.dumps(vars(obj))

    @staticmethod
    def from_json(text: str) -> "OrderPayload":
        return OrderPayload(**json.loads(text))


class InventoryRequest:
    def __init__(self, name: str, quantity: int):
        self.name = name
        self.quantity = quantity

    @staticmethod
    def to_json(obj: "InventoryRequest") -> str:
        return json.dumps(vars(obj))

    @staticmethod
    def from_json(text: str) -> "InventoryRequest":
        return InventoryRequest(**json.loads(text))


class InventoryResult:
    def __init__(self, success: bool, left: int):
        self.success = success
        self.left = left

    @staticmethod
    def to_json(obj: "InventoryResult") -> str:
        return json.dumps(vars(obj))

    @staticmethod
    def from_json(text: str) -> "InventoryResult":
        return InventoryResult(**json.loads(text))
