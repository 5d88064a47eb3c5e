"""PURE: the list of functions that the host prints when it is up. Tools read it, so it is exact to the blank.

Source: Azure Functions Core Tools 4; ``functions-host.md`` 5.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.host.functions import HTTP_TRIGGER
from taskhub.host.http_functions import full_route, methods_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.host.functions import Function

_HTTP_NAME, _NAME, _URL = "33", "93", "32"
"""Colours: dark yellow, yellow, dark green."""


def listing(functions: Sequence[Function], *, port: int, prefix: str) -> list[list[tuple[str, str]]]:
    """Return the lines as pieces of text with their colours.

    Args:
        functions: sorted by name; the HTTP functions go first.
        port: of the main door.
        prefix: route prefix.
    """
    lines: list[list[tuple[str, str]]] = [[], [("Functions:", _HTTP_NAME)], []]
    enabled = [function for function in functions if not function.is_disabled]
    http = [function for function in enabled if function.trigger.kind == HTTP_TRIGGER]
    for function in http:
        methods = f"[{','.join(methods_of(function))}]" if methods_of(function) else ""
        url = f"http://localhost:{port}/{full_route(function, prefix)}"
        lines += [
            [("\t", ""), (f"{function.name}:", _HTTP_NAME), (" ", ""), (methods, _URL), (" ", ""), (url, _URL)],
            [],
        ]
    for function in enabled:
        if function.trigger.kind != HTTP_TRIGGER:
            lines += [[("\t", ""), (f"{function.name}: ", _NAME), (function.trigger.type, "")], []]
    lines += [[(f"Function {function.name} is disabled.", "")] for function in functions if function.is_disabled]
    return lines
