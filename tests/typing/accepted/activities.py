"""Activities of every form, and what calling them gives."""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypeVar

import azure.durable_functions as df
import azure.functions as func
import msgspec
import pydantic
from typing_extensions import TypedDict, assert_type

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
retries = df.RetryOptions(1000, 3)


class Size(Enum):
    SMALL = 1


@dataclass
class Order:
    id: str
    size: Size


class Receipt(pydantic.BaseModel):
    number: int


class Parcel(msgspec.Struct):
    weight: float


class Item(TypedDict):
    name: str


class Point(NamedTuple):
    x: int


class Money:
    def to_json(self) -> str:
        return "1 EUR"

    @staticmethod
    def from_json(text: str) -> Money:
        return Money()


@app.activity_trigger(input_name="city")
def hello(city: str) -> str:
    return f"Hello {city}"


@app.activity_trigger(input_name="city")
async def hello_async(city: str) -> str:
    return f"Hello {city}"


@app.activity_trigger(input_name="nothing")
def forget(nothing: None) -> None:
    pass


@app.activity_trigger(input_name="order", activity="Reserve")
def reserve(order: Order, context: func.Context) -> Receipt:
    return Receipt(number=len(context.function_name))


@app.function_name("Weigh")
@app.activity_trigger(input_name="names")
async def weigh(names: list[str]) -> list[Parcel]:
    return []


@app.activity_trigger(input_name="payload")
def loose(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@app.activity_trigger(input_name="payload")
async def loose_async(payload: dict[str, Any]) -> dict[str, Any]:
    return payload


@app.activity_trigger(input_name="payload")
def anything(payload: Any) -> Any:
    return payload


@app.activity_trigger(input_name="payload")
async def anything_async(payload: Any) -> Any:
    return payload


@app.activity_trigger(input_name="n")
def maybe(n: int) -> Order | None:
    return None


@app.activity_trigger(input_name="n")
def size(n: int) -> Size:
    return Size.SMALL


@app.activity_trigger(input_name="n")
def item(n: int) -> Item:
    return {"name": "x"}


@app.activity_trigger(input_name="n")
def point(n: int) -> Point:
    return Point(n)


@app.activity_trigger(input_name="n")
def price(n: int) -> Money:
    return Money()


@app.activity_trigger(input_name="n")
def plain_values(n: int) -> tuple[datetime, uuid.UUID, Decimal]:
    return datetime.now(), uuid.uuid4(), Decimal(n)


@app.orchestration_trigger(context_name="context")
def tasks(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, None]:
    assert_type(context.call_activity(hello, "Oslo"), df.Task[str])
    assert_type(context.call_activity(hello, input_="Oslo"), df.Task[str])
    assert_type(context.call_activity(hello_async, "Oslo"), df.Task[str])
    assert_type(context.call_activity(forget), df.Task[None])
    assert_type(context.call_activity(reserve, Order("1", Size.SMALL)), df.Task[Receipt])
    assert_type(context.call_activity(weigh, ["a"]), df.Task[list[Parcel]])
    assert_type(context.call_activity(loose, {}), df.Task[dict[str, Any]])
    assert_type(context.call_activity(loose_async, {}), df.Task[dict[str, Any]])
    assert_type(context.call_activity(anything), df.Task[Any])
    assert_type(context.call_activity(anything_async), df.Task[Any])
    assert_type(context.call_activity(maybe, 1), df.Task["Order | None"])
    assert_type(context.call_activity(size, 1), df.Task[Size])
    assert_type(context.call_activity(item, 1), df.Task[Item])
    assert_type(context.call_activity(point, 1), df.Task[Point])
    assert_type(context.call_activity(price, 1), df.Task[Money])
    assert_type(context.call_activity(plain_values, 1), df.Task[tuple[datetime, uuid.UUID, Decimal]])

    assert_type(context.call_activity("hello", "Oslo"), df.Task[Any])
    assert_type(context.call_activity("hello", "Oslo", str), df.Task[str])
    assert_type(context.call_activity("hello", expected_type=Order), df.Task[Order])
    assert_type(context.call_activity("hello", expected_type=list[Order]), df.Task[list[Order]])
    assert_type(context.call_activity(loose, {}, expected_type=Order), df.Task[Order])
    assert_type(context.call_activity(loose, {}, Order), df.Task[Order])

    assert_type(context.call_activity_with_retry(hello, retries, "Oslo"), df.Task[str])
    assert_type(context.call_activity_with_retry(hello_async, retries, "Oslo"), df.Task[str])
    assert_type(context.call_activity_with_retry(loose_async, retries, {}), df.Task[dict[str, Any]])
    assert_type(context.call_activity_with_retry("hello", retries), df.Task[Any])
    assert_type(context.call_activity_with_retry("hello", retries, None, Order), df.Task[Order])
    assert_type(context.call_activity_with_retry("hello", retries, expected_type=Order), df.Task[Order])

    yield context.call_activity(hello, "Oslo")


@app.orchestration_trigger(context_name="context")
def waiting(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, str]:
    greeting = yield from context.call_activity(hello, "Oslo")
    assert_type(greeting, str)
    receipt = yield from context.call_activity_with_retry(reserve, retries, Order("1", Size.SMALL))
    assert_type(receipt, Receipt)
    untyped = yield context.call_activity(hello, "Oslo")
    assert_type(untyped, Any)
    return greeting.upper()


@app.orchestration_trigger(context_name="context")
async def awaiting(context: df.DurableOrchestrationContext) -> str:
    greeting = await context.call_activity(hello_async, "Oslo")
    assert_type(greeting, str)
    parcels = await context.call_activity(weigh, ["a"])
    assert_type(parcels, list[Parcel])
    order = await context.call_activity("order", 1, expected_type=Order)
    assert_type(order, Order)
    return f"{greeting.upper()} {parcels[0].weight} {order.size}"


@app.orchestration_trigger(context_name="context")
async def union_types(context: df.DurableOrchestrationContext) -> None:
    # A union is no class. pyright says Any, mypy Any or one of its members; both let one go on.
    found = await context.call_activity("order", 1, expected_type=Order | None)
    if found:
        print(found.id)
    found = await context.call_activity(loose, {}, expected_type=Order | None)
    if found:
        print(found.id)


T = TypeVar("T")


def twice(context: df.DurableOrchestrationContext, activity: df.ActivityFunction[T]) -> df.Task[Any]:
    """A helper that takes any activity."""
    return context.call_activity(activity, expected_type=list[int])


def called_directly(context: df.DurableOrchestrationContext) -> None:
    # A decorated activity is still a function, in tests say.
    assert_type(hello("Oslo"), str)
    assert_type(hello.build().get_user_function()("Oslo"), str)
    twice(context, hello)
    twice(context, hello_async)
