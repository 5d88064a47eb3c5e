"""Entities: functions and classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import azure.durable_functions as df
from typing_extensions import assert_type

app = df.DFApp()


@dataclass
class Account:
    balance: int


@app.entity_trigger(context_name="context", entity_name="Counter")
def counter(context: df.DurableEntityContext) -> None:
    assert_type(context.entity_name, str)
    assert_type(context.entity_key, str)
    assert_type(context.operation_name, str)
    current = context.get_state(lambda: 0)
    assert_type(current, Any)
    if context.operation_name == "add":
        amount = context.get_input(int)
        assert_type(amount, "int | None")
        current += amount or 0
    context.set_state(current)
    context.set_result(current)
    context.destruct_on_exit()


@app.entity_trigger(context_name="context")
def account(context: df.DurableEntityContext) -> None:
    assert_type(context.get_state(), Any)
    assert_type(context.get_state(expected_type=Account), "Account | None")
    state = context.get_state(lambda: Account(0), Account)
    assert_type(state, Account)
    assert_type(context.get_input(), Any)
    assert_type(context.get_input(expected_type=list[int]), "list[int] | None")


@app.entity_trigger(context_name="context")
class Basket(df.DurableEntity):
    def put(self, name: str) -> list[str]:
        names: list[str] = self.get_state(default=[])
        self.set_state([*names, name])
        return names

    def balance(self) -> int:
        assert_type(self.get_state(Account, default=Account(0)), Account)
        assert_type(self.get_state(Account), "Account | None")
        assert_type(self.get_state(), Any)
        assert_type(self.context, df.DurableEntityContext)
        return len(self.context.entity_key)


def by_hand(context: df.DurableEntityContext) -> None:
    context.set_state(1)


class Named(df.DurableEntity):
    def get(self) -> int:
        return 1


main = df.Entity.create(by_hand)
main_of_class = df.Entity.create(Named)


def inspected(context: df.DurableEntityContext) -> None:
    """What tests of apps do."""
    main.entity_function(context)
    counter.build().get_user_function().entity_function(context)
    assert_type(main_of_class.entity_function().get(), int)
    assert_type(main("{}"), str)
