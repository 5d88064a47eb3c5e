"""Readers and writers, compiled once from ``layout``: those of JSON objects, and what those of rows are made of."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.codec.jsontext import json_of, json_text, parse_utc
from taskhub.codec.layout import EVENTS, NESTED, Kind, Property, Record
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_T = TypeVar("_T")

_JSON_TYPES: Mapping[Kind, type] = {
    Kind.TEXT: str,
    Kind.TIME: str,
    Kind.INTEGER: int,
    Kind.STATUS: int,
    Kind.FLAG: bool,
    Kind.TAGS: dict,
    Kind.JSON: dict,
}
_TYPE_NAMES: Mapping[type, str] = {
    str: "a text",
    Utc: "a DateTime",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "an array",
    type(None): "null",
}


class Mismatch(Exception):
    """A value is not what its place demands; becomes a :class:`~taskhub.errors.MalformedMessage` that says where."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path

    def below(self, name: str) -> Mismatch:
        """Return the mismatch as seen from the object that holds this one as ``name``."""
        return Mismatch(self.reason, f"{name}.{self.path}" if self.path else name)


def mismatch(value: object, expected: type) -> Mismatch:
    """Return the error for a value of another type."""
    found = _TYPE_NAMES.get(type(value), type(value).__name__)
    return Mismatch(f"expected {_TYPE_NAMES.get(expected, expected.__name__)}, got {found}")


def take(named: Mapping[str, object], name: str, expected: type[_T]) -> _T | None:
    """Return the value of this name and type, ``None`` when it is absent or null; raises :class:`Mismatch`."""
    value = named.get(name)
    if value is None:
        return None
    if type(value) is not expected:
        raise mismatch(value, expected).below(name)
    return value


def require(named: Mapping[str, object], name: str, expected: type[_T]) -> _T:
    """Return the value of this name and type; raises :class:`Mismatch` also when there is none."""
    value = take(named, name, expected)
    if value is None:
        raise Mismatch(f"lacks {name}")
    return value


def parse_object(text: str, read: Callable[[Mapping[str, object]], _T]) -> _T | None:
    """Return what a column of JSON holds; ``None`` for the text ``null``; raises :class:`Mismatch`."""
    if text == "null":
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"not JSON: {error}") from None
    if type(value) is not dict:
        raise mismatch(value, dict)
    return read(value)


@dataclass(frozen=True, slots=True)
class Step:
    """How a reader takes one value."""

    name: str
    """Wire name: a JSON property or a column."""
    attribute: str
    expected: type
    """Exact type that the value must have."""
    parse: Callable[[Any], object] | None
    """Makes the attribute of it; ``None``: it is the attribute. ``None`` as result means absent."""


class Reader:
    """Makes a model of named values: of a JSON object's properties, or of a row's columns.

    Names that it does not know are ignored, as .NET does.
    """

    def __init__(self, record: Record, steps: Iterable[Step]) -> None:
        self._model = record.model
        self._absent: dict[str, object] = {p.attribute: p.if_null for p in record.properties if p.if_null is not ...}
        self._steps = tuple((step.name, step.attribute, step.expected, step.parse) for step in steps)

    def __call__(self, named: Mapping[str, object]) -> Any:
        """Return the model; raises :class:`Mismatch`."""
        values = self._absent.copy()
        for name, attribute, expected, parse in self._steps:
            value = named.get(name)
            if value is None:
                continue
            try:
                if type(value) is not expected:
                    raise mismatch(value, expected)
                if parse is not None:
                    value = parse(value)
            except Mismatch as error:
                raise error.below(name) from None
            except ValueError as error:
                raise Mismatch(str(error), name) from None
            if value is not None:
                values[attribute] = value
        try:
            return self._model(**values)
        except TypeError as error:
            raise self._incomplete(values) or error from None

    def _incomplete(self, values: Mapping[str, object]) -> Mismatch | None:
        names = {attribute: name for name, attribute, _, _ in self._steps}
        missing = [
            names[field.name]
            for field in dataclasses.fields(self._model)
            if field.default is dataclasses.MISSING and field.name not in values
        ]
        return Mismatch(f"lacks {', '.join(missing)}") if missing else None


def read_tags(value: Mapping[str, object]) -> dict[str, str]:
    """Return tags without the type name that Newtonsoft puts among them; a null tag is an empty text."""
    tags = {}
    for name, text in value.items():
        if name == "$type":
            continue
        if text is not None and type(text) is not str:
            raise mismatch(text, str).below(name)
        tags[name] = text or ""
    return tags


def without_types(value: Any) -> Any:
    """Return JSON without the type names that Newtonsoft puts into its objects."""
    if isinstance(value, dict):
        return {name: without_types(item) for name, item in value.items() if name != "$type"}
    if isinstance(value, list):
        return [without_types(item) for item in value]
    return value


class Writer:
    """Makes the JSON text of a model, as Newtonsoft would, up to :func:`~taskhub.codec.jsontext.writable`.

    Args:
        record: what to write.
        typed: with ``$type``, as in messages; without, as in rows.
    """

    def __init__(self, record: Record, *, typed: bool) -> None:
        members = [f'"$type":"{record.type_name}"'] if typed else []
        members += [f'"{p.wire_name}":%s' for p in record.properties]
        self._template = "{" + ",".join(members) + "}"
        self._values = attrgetter(*(p.attribute for p in record.properties))
        self._texts = [_json_writer(p, typed=typed) for p in record.properties]

    def __call__(self, model: object) -> str:
        """Return the JSON text."""
        return self._template % tuple(
            [text(value) for text, value in zip(self._texts, self._values(model), strict=True)]
        )


class Plainer:
    """Makes the plain dictionary of a model that ``json.dumps`` would turn into the reference's JSON."""

    def __init__(self, record: Record) -> None:
        self._names = tuple(p.wire_name for p in record.properties)
        self._values = attrgetter(*(p.attribute for p in record.properties))
        plain = [(p.wire_name, _plain(p)) for p in record.properties]
        self._converted = [(name, convert) for name, convert in plain if convert is not None]

    def __call__(self, model: object) -> dict[str, Any]:
        """Return the dictionary, keys in the reference's order."""
        plain = dict(zip(self._names, self._values(model), strict=True))
        for name, convert in self._converted:
            value = plain[name]
            if value is not None:
                plain[name] = convert(value)
        return plain


_PARSERS: Mapping[Kind, Callable[[Any], object]] = {
    Kind.TIME: parse_utc,
    Kind.STATUS: RuntimeStatus,
    Kind.TAGS: read_tags,
    Kind.JSON: without_types,
}


def _step(item: Property) -> Step:
    if isinstance(item.kind, Kind):
        return Step(item.wire_name, item.attribute, _JSON_TYPES[item.kind], _PARSERS.get(item.kind))
    model = item.kind
    # Looked up when called: failures hold failures.
    return Step(item.wire_name, item.attribute, dict, lambda value: READERS[model](value))


def _json_reader(record: Record) -> Reader:
    return Reader(record, (_step(item) for item in record.properties if not item.written_only))


def _json_writer(item: Property, *, typed: bool) -> Callable[[Any], str]:
    if isinstance(item.kind, Kind):
        return _JSON_WRITERS[item.kind]
    model = item.kind

    def nested(value: object) -> str:
        return "null" if value is None else (TYPED_WRITERS if typed else UNTYPED_WRITERS)[model](value)

    return nested


def _integer_text(value: int | None) -> str:
    return "null" if value is None else str(value)


def _flag_text(value: bool) -> str:
    return "true" if value else "false"


def _status_number(status: RuntimeStatus) -> int:
    return status.value


def _status_text(status: RuntimeStatus) -> str:
    return str(status.value)


_JSON_WRITERS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.TEXT: json_text,
    Kind.TIME: json_text,
    Kind.INTEGER: _integer_text,
    Kind.FLAG: _flag_text,
    Kind.STATUS: _status_text,
    Kind.TAGS: json_of,
    Kind.JSON: json_of,
}


_PLAIN: Mapping[Kind, Callable[[Any], object]] = {Kind.STATUS: _status_number, Kind.TIME: str}


def _plain(item: Property) -> Callable[[Any], object] | None:
    """Return what turns an attribute that is not ``None`` into plain JSON values; ``None``: it is one."""
    if isinstance(item.kind, Kind):
        return _PLAIN.get(item.kind)
    model = item.kind
    return lambda value: PLAINERS[model](value)


READERS: Mapping[type, Reader] = {record.model: _json_reader(record) for record in (*EVENTS, *NESTED)}
TYPED_WRITERS: Mapping[type, Writer] = {record.model: Writer(record, typed=True) for record in (*EVENTS, *NESTED)}
UNTYPED_WRITERS: Mapping[type, Writer] = {record.model: Writer(record, typed=False) for record in NESTED}
PLAINERS: Mapping[type, Plainer] = {record.model: Plainer(record) for record in (*EVENTS, *NESTED)}
