"""Entities as data, and the Python that they stand for; as ``programs.py`` for orchestrations.

An entity is a mapping from operation names to statements: ``("state", initializer, expected)`` and
``("input", expected)`` (noted), ``("set_state", value)``, ``("set_result", value)``, ``("show",)`` (the result is what
was noted), ``("grow",)`` (changes a list or dictionary of the state in place), ``("destruct",)``,
``("raise", text, kind)``, ``("return", value)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.programs import helpers, value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def entity_source(entity: Mapping[str, list[Any]]) -> str:
    """Return an entity as a module: ``counter`` is the user's function, ``main`` the handle that the worker calls."""
    lines = ["def counter(context):", "    seen = []", "    name = context.operation_name"]
    for operation, statements in entity.items():
        written = [line for statement in statements for line in _WRITERS[statement[0]](*statement[1:])]
        if written:
            lines += [f"    if name == {value(operation)}:", *("        " + line for line in written)]
    body = "\n".join(["", "", *lines, "", "", "main = df.Entity.create(counter)", ""])
    return "".join(["import azure.durable_functions as df\n", *helpers(body), body])


def _state(initializer: str | None = None, expected: str | None = None) -> list[str]:
    given = [each for each in (initializer, expected and f"expected_type={expected}") if each]
    return [f"state = context.get_state({', '.join(given)})", "seen.append(plain(state))"]


def _input(expected: str | None = None) -> list[str]:
    return [f"seen.append(plain(context.get_input({expected or ''})))"]


def _raise(text: str, kind: str) -> list[str]:
    return [f"raise {kind}({value(text)})"]


_GROW = [
    "state = context.get_state()",
    "if isinstance(state, list):",
    "    state.append(1)",
    "elif isinstance(state, dict):",
    '    state["more"] = 1',
]

_WRITERS: dict[str, Callable[..., list[str]]] = {
    "state": _state,
    "input": _input,
    "set_state": lambda what: [f"context.set_state({value(what)})"],
    "set_result": lambda what: [f"context.set_result({value(what)})"],
    "show": lambda: [
        "seen += [context.entity_name, context.entity_key, context.is_newly_constructed]",
        "context.set_result(seen)",
    ],
    "grow": lambda: _GROW,
    "destruct": lambda: ["context.destruct_on_exit()"],
    "raise": _raise,
    "return": lambda what: [f"return {value(what)}"],
}
