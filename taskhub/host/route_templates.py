"""PURE: route templates of HTTP triggers: parsing, matching, precedence.

A template is a path of segments: literal text, ``{name}``, ``{name?}``, ``{name=default}``, ``{name:constraint}``
(chained), ``{*rest}`` for all that follows, or a mixture within one segment (``file.{ext}``). Doubled braces stand for
braces. Letter case of literals and a slash at the end do not matter. A value that fails its constraint is no match.

Source: ASP.NET Core routing, as the Azure Functions host uses it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_T = TypeVar("_T")


class TemplateError(Exception):
    """A route template that means nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A ``{…}`` of a template."""

    name: str
    constraints: tuple[Callable[[str], bool], ...] = ()
    default: str | None = None
    is_optional: bool = False
    is_catch_all: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template."""

    text: str
    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]
    """In the order of the pattern's groups."""
    precedence: tuple[int, ...]
    """Templates with smaller ones are tried first."""

    def match(self, path: str) -> dict[str, str] | None:
        """Return the values of the parameters (absent optional ones left out), or ``None`` for no match.

        Args:
            path: decoded, without slashes at its ends.
        """
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {}
        for parameter, value in zip(self.parameters, found.groups(), strict=True):
            if value is None or (value == "" and parameter.is_catch_all):
                if parameter.default is not None:
                    values[parameter.name] = parameter.default
                elif parameter.is_catch_all:
                    values[parameter.name] = ""
                continue
            if not all(holds(value) for holds in parameter.constraints):
                return None
            values[parameter.name] = value
        return values


@dataclass(frozen=True, slots=True)
class Route(Generic[_T]):
    """A template, the methods that it takes, and what it leads to."""

    template: Template
    methods: frozenset[str]
    """Upper-case; empty: all."""
    target: _T


@dataclass(slots=True)
class RouteTable(Generic[_T]):
    """Routes in the order in which they are tried."""

    routes: list[Route[_T]] = field(default_factory=list)

    @classmethod
    def of(cls, routes: Iterable[Route[_T]]) -> RouteTable[_T]:
        """Sort the routes: more specific ones first, ties in the order given."""
        return cls(sorted(routes, key=lambda route: route.template.precedence))

    def find(self, method: str, path: str) -> tuple[_T, Mapping[str, str]] | None:
        """Return the first target for a request, with its route values; a wrong method is no match."""
        for route in self.routes:
            if route.methods and method not in route.methods:
                continue
            values = route.template.match(path)
            if values is not None:
                return route.target, values
        return None


class PathRefused(Exception):
    """A path that no client sends in good faith."""


_ESCAPES = re.compile(r"(?:%(?!2[fF])[0-9a-fA-F]{2})+")


def without_dots(raw: str) -> str:
    """Return a request path without the segments ``.`` and ``..``, however they are written.

    Raises:
        PathRefused: it leads above the root, or holds a null character.
    """
    if "%00" in raw:
        raise PathRefused
    if "/." not in raw and "%2e" not in raw.lower():
        return raw
    kept: list[str] = []
    segments = raw.split("/")
    for segment in segments:
        plain = segment.replace("%2e", ".").replace("%2E", ".")
        if plain == "..":
            if len(kept) <= 1:  # what stands before the first slash
                raise PathRefused
            kept.pop()
        elif plain != ".":
            kept.append(segment)
    if segments[-1].lower() in (".", "..", "%2e", "%2e%2e", ".%2e", "%2e."):
        kept.append("")
    return "/".join(kept)


def decode_path(raw: str) -> str:
    """Return a request path as templates match it: decoded, without slashes at its ends.

    ``%2F`` stays, and so does what is no UTF-8.
    """
    path = raw.strip("/")
    return _ESCAPES.sub(_decoded, path) if "%" in path else path


def _decoded(escapes: re.Match[str]) -> str:
    return bytes.fromhex(escapes[0].replace("%", "")).decode(errors="taskhub.keep_escaped")


def _keep_escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"%{byte:02X}" for byte in error.object[error.start : error.end]), error.end


codecs.register_error("taskhub.keep_escaped", _keep_escaped)


# ---- parsing

_Part = str | Parameter


def parse_template(text: str) -> Template:
    """Parse a template.

    Raises:
        TemplateError: braces do not match, a name is missing or used twice, a constraint is unknown.
    """
    segments = _segments(text.strip("/"))
    pattern = ""
    parameters: list[Parameter] = []
    precedence: list[int] = []
    can_be_absent = _can_be_absent(segments)
    for index, parts in enumerate(segments):
        found = [part for part in parts if isinstance(part, Parameter)]
        _check(text, parts, found, is_last=index == len(segments) - 1)
        parameters += found
        pattern += _pattern_of(parts, found, is_first=index == 0, can_be_absent=can_be_absent[index])
        precedence.append(_rank(parts, found))
    names = [parameter.name.lower() for parameter in parameters]
    if len(set(names)) < len(names):
        raise TemplateError(f"route '{text}' names a parameter twice")
    return Template(text, re.compile(pattern, re.IGNORECASE | re.DOTALL), tuple(parameters), tuple(precedence))


def _segments(text: str) -> list[list[_Part]]:
    segments: list[list[_Part]] = [[]]
    literal = ""
    position = 0

    def end_literal() -> None:
        nonlocal literal
        if literal:
            segments[-1].append(literal)
        literal = ""

    while position < len(text):
        char = text[position]
        if text[position : position + 2] in ("{{", "}}"):
            literal += char
            position += 2
        elif char == "{":
            end_literal()
            inner, position = _braces(text, position + 1)
            segments[-1].append(_parameter(inner, text))
        elif char == "}":
            raise TemplateError(f"route '{text}' has a '}}' without '{{'")
        elif char == "/":
            end_literal()
            segments.append([])
            position += 1
        else:
            literal += char
            position += 1
    end_literal()
    return segments if segments != [[]] else []


def _braces(text: str, position: int) -> tuple[str, int]:
    """Return what stands between braces from ``position`` on, doubled ones undone, and where it ends."""
    inner = ""
    while position < len(text):
        pair = text[position : position + 2]
        if pair in ("{{", "}}"):
            inner += pair[0]
            position += 2
        elif text[position] == "}":
            return inner, position + 1
        else:
            inner += text[position]
            position += 1
    raise TemplateError(f"route '{text}' has a '{{' without '}}'")


_NAME = re.compile(r"(\*{0,2})([A-Za-z_][A-Za-z0-9_\-.]*)")
_CONSTRAINT = re.compile(r":([A-Za-z]+)")


def _parameter(inner: str, template: str) -> Parameter:
    found = _NAME.match(inner)
    if not found:
        raise TemplateError(f"route '{template}' has a parameter without a proper name: '{{{inner}}}'")
    rest = inner[found.end() :]
    is_optional = rest.endswith("?") and "=" not in rest
    if is_optional:
        rest = rest[:-1]
    constraints = []
    while (kind := _CONSTRAINT.match(rest)) is not None:
        rest = rest[kind.end() :]
        argument = None
        if rest.startswith("("):
            argument, rest = _argument(rest, template)
        constraints.append(_constraint(kind[1], argument, template))
    if rest and not rest.startswith("="):
        raise TemplateError(f"route '{template}': '{{{inner}}}' cannot be understood at '{rest}'")
    return Parameter(
        found[2],
        tuple(constraints),
        default=rest[1:] if rest else None,
        is_optional=is_optional,
        is_catch_all=bool(found[1]),
    )


def _argument(rest: str, template: str) -> tuple[str, str]:
    depth = 0
    for index, char in enumerate(rest):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            return rest[1:index], rest[index + 1 :]
    raise TemplateError(f"route '{template}' has a '(' without ')'")


def _check(text: str, parts: list[_Part], parameters: list[Parameter], *, is_last: bool) -> None:
    if not parts:
        raise TemplateError(f"route '{text}' has an empty segment")
    for parameter in parameters:
        if parameter.is_catch_all and (not is_last or len(parts) > 1):
            raise TemplateError(f"route '{text}': the catch-all '{parameter.name}' must be the last segment")


def _can_be_absent(segments: list[list[_Part]]) -> list[bool]:
    """Return for each segment whether a path may end before it: it is optional, and so are all behind it."""
    absent: list[bool] = []
    for parts in reversed(segments):
        part = parts[0] if len(parts) == 1 else None
        is_optional = isinstance(part, Parameter) and (
            part.is_optional or part.default is not None or part.is_catch_all
        )
        absent.append(is_optional and (not absent or absent[-1]))
    return absent[::-1]


def _pattern_of(parts: list[_Part], parameters: list[Parameter], *, is_first: bool, can_be_absent: bool) -> str:
    slash = "" if is_first else "/"
    if can_be_absent:
        if parameters[0].is_catch_all:
            return "(.*)" if is_first else "(?:/(.*))?"
        return f"(?:{slash}([^/]+))?"
    last, before = parts[-1], parts[-2] if len(parts) > 1 else None
    if isinstance(last, Parameter) and last.is_optional and isinstance(before, str) and before.endswith("."):
        # `name.{ext?}`: without the extension there is no dot either.
        # Of several dots it is the last one, as where it must be there.
        head = _joined([*parts[:-2], before[:-1]])
        lazy = head[: -len("+)")] + "+?)" if head.endswith("+)") else head
        return slash + lazy + r"(?:\.([^/.]+))?"
    return slash + _joined(parts)


def _joined(parts: list[_Part]) -> str:
    return "".join("([^/]+)" if isinstance(part, Parameter) else re.escape(part) for part in parts)


def _rank(parts: list[_Part], parameters: list[Parameter]) -> int:
    if not parameters:
        return 1
    if len(parts) > 1:
        return 2
    parameter = parameters[0]
    base = 5 if parameter.is_catch_all else 3
    return base - 1 if parameter.constraints else base


# ---- constraints


def _parses(read: Callable[[str], object]) -> Callable[[str], bool]:
    def holds(value: str) -> bool:
        try:
            read(value)
        except (ValueError, OverflowError):
            return False
        return True

    return holds


def _whole(low: int, high: int) -> Callable[[str], bool]:
    def read(value: str) -> None:
        if not re.fullmatch(r"\s*[+-]?\d+\s*", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(value)

    return _parses(read)


def _is_datetime(value: str) -> None:
    for form in ("%Y-%m-%d", "%m/%d/%Y", "%Y-%m-%d %H:%M", "%m/%d/%Y %H:%M"):
        try:
            datetime.strptime(value, form)
        except ValueError:
            continue
        return
    datetime.fromisoformat(value.replace("Z", "+00:00"))


_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.IGNORECASE | re.ASCII)
_GUID = re.compile(r"[({]?[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}[)}]?", re.IGNORECASE)
_SIMPLE: Mapping[str, Callable[[str], bool]] = {
    "int": _whole(-(2**31), 2**31 - 1),
    "long": _whole(-(2**63), 2**63 - 1),
    "bool": lambda value: value.lower() in ("true", "false"),
    "datetime": _parses(_is_datetime),
    "decimal": lambda value: bool(_NUMBER.fullmatch(value)),
    "double": lambda value: bool(_NUMBER.fullmatch(value)),
    "float": lambda value: bool(_NUMBER.fullmatch(value)),
    "guid": lambda value: bool(_GUID.fullmatch(value)),
    "alpha": lambda value: bool(re.fullmatch(r"[A-Za-z]*", value)),
    "required": bool,
}


def _constraint(name: str, argument: str | None, template: str) -> Callable[[str], bool]:
    kind = name.lower()
    if argument is None and kind in _SIMPLE:
        return _SIMPLE[kind]
    try:
        return _with_argument(kind, argument or "")
    except (KeyError, ValueError, re.error) as error:
        written = name if argument is None else f"{name}({argument})"
        raise TemplateError(f"route '{template}' has an unknown constraint '{written}'") from error


def _with_argument(kind: str, argument: str) -> Callable[[str], bool]:
    if kind == "regex":
        pattern = re.compile(argument, re.IGNORECASE)
        return lambda value: bool(pattern.search(value))
    numbers = [int(part) for part in argument.split(",")]
    low, high = numbers[0], numbers[-1]
    if len(numbers) > 2 or (len(numbers) == 2) != (kind == "range" or (kind == "length" and "," in argument)):
        raise ValueError(argument)
    table: Mapping[str, Callable[[str], bool]] = {
        "minlength": lambda value: len(value) >= low,
        "maxlength": lambda value: len(value) <= low,
        "length": lambda value: low <= len(value) <= high,
        "min": _whole(low, 2**63 - 1),
        "max": _whole(-(2**63), low),
        "range": _whole(low, high),
    }
    return table[kind]
