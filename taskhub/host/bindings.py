"""From the JSON of ``function.json``, or of a decorator, to checked bindings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from taskhub.host.functions import Binding, Direction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FUNCTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,127}")
_BINDING_NAME = re.compile(r"(?!.*__)([a-zA-Z_][a-zA-Z0-9_]{0,127}|\$return)")
_DIRECTIONS = {"in": Direction.IN, "out": Direction.OUT, "inout": Direction.INOUT}


class BindingError(Exception):
    """The bindings of a function make no sense; the message is for the app's author."""


def check_function_name(name: str) -> None:
    """Raise BindingError unless the name is one that Azure Functions accepts."""
    if not FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
        raise BindingError(
            f"'{name}' is not a valid function name. Use letters, digits, '_' and '-', begin with a letter, "
            "at most 128 characters, and not 'host'."
        )


def read_bindings(items: Sequence[Mapping[str, Any]]) -> tuple[Binding, ...]:
    """Return the bindings of one function.

    Raises:
        BindingError: no binding, no trigger or two, a name twice, or a binding without name or type.
    """
    if not items:
        raise BindingError("At least one binding must be declared.")
    bindings = tuple(_read_binding(item) for item in items)
    seen: set[str] = set()
    for binding in bindings:
        if binding.name.lower() in seen:
            raise BindingError(f"Two bindings are named '{binding.name}'. Binding names must be unique.")
        seen.add(binding.name.lower())
    triggers = [binding for binding in bindings if binding.is_trigger]
    if not triggers:
        raise BindingError(
            "No trigger binding is declared. A function must have one binding whose type ends in Trigger."
        )
    if len(triggers) > 1:
        types = ", ".join(binding.type for binding in triggers)
        raise BindingError(f"More than one trigger is declared ({types}). A function must have exactly one.")
    return bindings


def _read_binding(item: Mapping[str, Any]) -> Binding:
    if not isinstance(item, dict):
        raise BindingError(f"A binding must be an object, not {item!r}.")
    properties = {str(key).lower(): value for key, value in item.items()}
    type_ = properties.pop("type", None)
    name = properties.pop("name", None)
    if not isinstance(type_, str) or not type_:
        raise BindingError(f"The binding {name!r} has no type.")
    if not isinstance(name, str) or not _BINDING_NAME.fullmatch(name):
        raise BindingError(
            f"The binding name {name!r} is not valid. It must be '$return' or the name of a parameter: letters, digits "
            "and '_', not beginning with a digit, without '__'."
        )
    written = str(properties.pop("direction", None) or "in").lower()
    if written not in _DIRECTIONS:
        raise BindingError(f"The direction of binding '{name}' is '{written}'; it must be in, out or inout.")
    methods = properties.get("methods")
    if methods is not None:
        properties["methods"] = [
            str(method).upper() for method in (methods if isinstance(methods, list) else [methods])
        ]
    return Binding(name, type_, _DIRECTIONS[written], properties)
