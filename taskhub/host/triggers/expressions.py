"""PURE: binding expressions, the ``{name}`` in paths and names of queues, and the values that they stand for.

A name is looked up, ignoring case, in what started the function: parts of a blob's path, properties of a JSON message
or request, metadata of the trigger. ``{order.id}`` goes on into an object. Built in are ``{rand-guid}``,
``{DateTime}``, ``{sys.randguid}``, ``{sys.utcnow}`` and ``{sys.methodname}``; guids and times take a .NET format after
a colon.

Source: Azure WebJobs SDK, BindingTemplate; Azure Functions, binding expression patterns.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(r"(?P<escape>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<literal>[^{}]+)|(?P<unbalanced>[{}])")
_NAME = re.compile(r"[^\W\d]\w*(?:\.\w[\w-]*)*")
_SYSTEM_NAMES = ("rand-guid", "datetime", "sys.randguid", "sys.utcnow", "sys.methodname")
_PATH_TIME = "%Y-%m-%dT%H-%M-%SZ"
"""Of a time without a format: fit for the name of a blob."""


class TemplateError(ValueError):
    """A text is no template; the message is for the app's author."""


class MissingValue(Exception):
    """Nothing that started the function has a value for a name."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One ``{name:format}``."""

    name: str
    """As written, without the format."""
    format: str = ""

    @property
    def is_system(self) -> bool:
        """Whether its value is made up and not looked up."""
        return self.name.lower() in _SYSTEM_NAMES


@dataclass(frozen=True, slots=True)
class BindingTemplate:
    """A text with expressions in it."""

    text: str
    parts: tuple[str | Expression, ...]

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """The expressions, in order."""
        return tuple(part for part in self.parts if isinstance(part, Expression))

    def render(self, values: Mapping[str, Any], system: SystemValues) -> str:
        """Return the text with the values of its expressions.

        Raises:
            MissingValue: there is none for one of them.
        """
        lower = {name.lower(): value for name, value in values.items()}
        return "".join(part if isinstance(part, str) else _value_of(part, lower, system) for part in self.parts)


@dataclass(frozen=True, slots=True)
class SystemValues:
    """Where the values come from that are made up."""

    now: Callable[[], datetime]
    new_guid: Callable[[], uuid.UUID]
    function: str
    """Name of the function."""

    def get(self, name: str) -> datetime | uuid.UUID | str | None:
        """Return a value by its name in lower case."""
        match name:
            case "rand-guid" | "sys.randguid":
                return self.new_guid()
            case "datetime" | "sys.utcnow":
                return self.now()
            case "sys.methodname":
                return self.function
        return None


def parse_template(text: str) -> BindingTemplate:
    """Read a text with expressions.

    Raises:
        TemplateError: a brace has no partner, or between two stands what is no name.
    """
    parts: list[str | Expression] = []
    for token in _TOKEN.finditer(text):
        if token["unbalanced"]:
            raise TemplateError(f"'{text}' has a '{token[0]}' without its partner; write it twice if it is meant.")
        if token["name"] is None:
            parts.append(token["literal"] or token["escape"][0])
        else:
            parts.append(_parse_expression(token["name"], text))
    return BindingTemplate(text, _joined(parts))


def _parse_expression(written: str, text: str) -> Expression:
    name, _, format_ = written.partition(":")
    if not _NAME.fullmatch(name) and name.lower() != "rand-guid":
        raise TemplateError(f"'{text}' has {{{written}}}, which is no binding expression: write a name, as {{name}}.")
    return Expression(name, format_)


def _joined(parts: list[str | Expression]) -> tuple[str | Expression, ...]:
    joined: list[str | Expression] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _value_of(expression: Expression, lower: Mapping[str, Any], system: SystemValues) -> str:
    first, *path = expression.name.lower().split(".")
    if first not in lower:
        value: Any = system.get(expression.name.lower())
        if value is None:
            raise MissingValue(f"No value for named parameter '{expression.name}'.")
        return text_of(value, expression.format)
    value = lower[first]
    for name in path:
        found = {key.lower(): each for key, each in value.items()} if isinstance(value, Mapping) else {}
        if name not in found:
            raise MissingValue(f"Error while accessing '{name}' of '{expression.name}': property doesn't exist.")
        value = found[name]
    return text_of(value, expression.format)


def text_of(value: object, format_: str = "") -> str:
    """Return a value as it stands in a path."""
    if isinstance(value, datetime):
        return _format_time(value, format_) if format_ else value.strftime(_PATH_TIME)
    if isinstance(value, uuid.UUID):
        return _format_guid(value, format_)
    if value is None:
        return ""
    if isinstance(value, (bool, str)):
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _format_guid(value: uuid.UUID, format_: str) -> str:
    match format_.upper():
        case "N":
            return value.hex
        case "B":
            return f"{{{value}}}"
        case "P":
            return f"({value})"
        case "" | "D":
            return str(value)
    raise MissingValue(f"'{format_}' is no format of a guid; use N, D, B or P.")


_TIME_PARTS: Mapping[str, Callable[[datetime], str]] = {
    "yyyy": lambda time: f"{time.year:04}",
    "yy": lambda time: f"{time.year % 100:02}",
    "MMMM": lambda time: time.strftime("%B"),
    "MMM": lambda time: time.strftime("%b"),
    "MM": lambda time: f"{time.month:02}",
    "M": lambda time: f"{time.month}",
    "dddd": lambda time: time.strftime("%A"),
    "ddd": lambda time: time.strftime("%a"),
    "dd": lambda time: f"{time.day:02}",
    "d": lambda time: f"{time.day}",
    "HH": lambda time: f"{time.hour:02}",
    "H": lambda time: f"{time.hour}",
    "hh": lambda time: f"{time.hour % 12 or 12:02}",
    "h": lambda time: f"{time.hour % 12 or 12}",
    "mm": lambda time: f"{time.minute:02}",
    "m": lambda time: f"{time.minute}",
    "ss": lambda time: f"{time.second:02}",
    "s": lambda time: f"{time.second}",
    "fffffff": lambda time: f"{time.microsecond:06}0",
    "ffffff": lambda time: f"{time.microsecond:06}",
    "fff": lambda time: f"{time.microsecond // 1000:03}",
    "ff": lambda time: f"{time.microsecond // 10_000:02}",
    "f": lambda time: f"{time.microsecond // 100_000}",
    "tt": lambda time: "AM" if time.hour < 12 else "PM",
    "K": lambda time: "Z",
}
"""Parts of .NET's own formats for times, the longest of a letter first."""
_TIME_TOKEN = re.compile("|".join([r"'[^']*'", r"\\.", *_TIME_PARTS]))
_STANDARD_TIMES = {
    "o": "yyyy-MM-ddTHH:mm:ss.fffffffK",
    "s": "yyyy-MM-ddTHH:mm:ss",
    "u": "yyyy-MM-dd HH:mm:ssK",
    "d": "MM/dd/yyyy",
    "D": "dddd, dd MMMM yyyy",
    "t": "HH:mm",
    "T": "HH:mm:ss",
}


def _format_time(value: datetime, format_: str) -> str:
    def part(found: re.Match[str]) -> str:
        token = found[0]
        if token[0] == "'":
            return token[1:-1]
        return token[1] if token[0] == "\\" else _TIME_PARTS[token](value)

    return _TIME_TOKEN.sub(part, _STANDARD_TIMES.get(format_, format_))
