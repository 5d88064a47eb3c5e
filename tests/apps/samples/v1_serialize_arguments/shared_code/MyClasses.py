import json
import typing


class SerializableClass:
    def __init__(self, number: int):
        self.number = number

    def show_number(self) -> str:
        return str(self.number)

    @staticmethod
    def to_json(obj: object) -> str:
        return json.dumps({"number": typing.cast(SerializableClass, obj).number})

    @staticmethod
    def from_json(json_str: str) -> object:
        return SerializableClass(json.loads(json_str)["number"])
