"""Values of types that JSON does not have: as plain JSON, and back where code names the type.

Dataclasses, enumerations, dates and times, UUIDs, decimals, and models of pydantic and msgspec travel as what anybody
would write for them: objects with the fields' names, the members' values, ISO 8601, text. Nothing in it tells the
class, so the way back needs a type: an annotation, or ``expected_type``. The two libraries are looked for among the
modules that the app has loaded; nothing is imported here.

Classes with ``to_json`` and ``from_json`` are not looked at: they travel by the reference's rule.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import functools
import re
import sys
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, cast
from uuid import UUID

from azure.durable_functions.errors import PayloadDecodeError

Convert = Callable[[Any, str], Any]
"""Makes a value of a type from decoded JSON; the text is where in the whole it stands."""


# -- to JSON -----------------------------------------------------------------------------------------------------------


def plain(value: Any, *, is_field: bool = False) -> Any:
    """Return a value as JSON has it; what is of no type above is left as it is.

    Args:
        value: anything.
        is_field: whether it is part of a class whose fields have types, so that sets find their way back.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, is_field=is_field)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(each, is_field=is_field) for each in value]
    if isinstance(value, dict):
        return {_plain_key(key): plain(each, is_field=is_field) for key, each in value.items()}
    if hasattr(value, "to_json"):
        return value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_field and isinstance(value, (set, frozenset)):
        return [plain(each, is_field=True) for each in value]
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if _is_instance_of("pydantic", "BaseModel", value):
        if hasattr(value, "model_dump"):
            return value.model_dump(mode="json", by_alias=True)
        return _plain_fields(value, value.__fields__)  # pydantic 1
    if _is_instance_of("msgspec", "Struct", value):
        return sys.modules["msgspec"].to_builtins(value, str_keys=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain_fields(value, [field.name for field in dataclasses.fields(value)])
    return value


def _plain_fields(value: Any, names: typing.Iterable[str]) -> dict[str, Any]:
    return {name: plain(getattr(value, name), is_field=True) for name in names}


def _plain_key(key: Any) -> Any:
    made = plain(key)
    return key if isinstance(made, (list, dict)) else made


def _is_instance_of(module: str, name: str, value: Any) -> bool:
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and isinstance(value, base)


# -- from JSON ---------------------------------------------------------------------------------------------------------


def converter_for(expected: Any) -> Convert | None:
    """Return how to make a value of a type; ``None`` when JSON's own types are all that it names.

    Args:
        expected: a class or a generic type: ``Order``, ``list[Order]``, ``dict[str, Order] | None``.
    """
    try:
        return _cached_converter(expected)
    except TypeError:  # cannot be hashed: Annotated[..., []]
        return _converter(expected)


@functools.lru_cache(maxsize=1024)
def _cached_converter(expected: Any) -> Convert | None:
    return _converter(expected)


def _converter(expected: Any) -> Convert | None:
    convert, is_plain = _build(expected)
    return None if is_plain else convert


def _build(expected: Any) -> tuple[Convert, bool]:
    """Return how to convert to a type, and whether that is nothing that decoded JSON is not already."""
    expected = _without_wrapping(expected)
    origin = typing.get_origin(expected)
    if origin in (typing.Union, getattr(types, "UnionType", None)):
        return _union(expected)
    if origin is typing.Literal:
        return _literal(expected), True
    if origin in _CONTAINERS:
        return _CONTAINERS[origin](expected)
    if origin is not None and isinstance(origin, type):
        return _generic_class(expected, origin)
    if not isinstance(expected, type) or origin is not None:
        return _anything, True
    if expected in _SCALARS:
        return functools.partial(_SCALARS[expected], expected), expected in _JSON_SCALARS
    if _has_protocol(expected):
        return functools.partial(_enveloped, expected), True
    if typing.is_typeddict(expected):
        return _typed_dict(expected)
    if issubclass(expected, Enum):
        return functools.partial(_enum, expected), False
    if _is_subclass_of("pydantic", "BaseModel", expected):
        return functools.partial(_pydantic, expected), False
    if _is_subclass_of("msgspec", "Struct", expected):
        return functools.partial(_msgspec, expected, expected), False
    if dataclasses.is_dataclass(expected):
        return functools.partial(_dataclass, expected, ()), False
    if issubclass(expected, tuple) and hasattr(expected, "_fields"):
        return functools.partial(_named_tuple, expected), False
    return (_anything if expected is object else functools.partial(_instance, expected)), True


def _generic_class(expected: Any, origin: type) -> tuple[Convert, bool]:
    """Build for a class of the app's with type arguments: ``Page[Order]``. Those of pydantic are plain classes."""
    if _is_subclass_of("msgspec", "Struct", origin):
        return functools.partial(_msgspec, origin, expected), False
    if dataclasses.is_dataclass(origin):
        return functools.partial(_dataclass, origin, typing.get_args(expected)), False
    return _anything, True


def _without_wrapping(expected: Any) -> Any:
    while True:
        if hasattr(expected, "__supertype__"):  # NewType
            expected = expected.__supertype__
        elif typing.get_origin(expected) is typing.Annotated:
            expected = typing.get_args(expected)[0]
        else:
            return type(None) if expected is None else expected


def _is_subclass_of(module: str, name: str, cls: type) -> bool:
    base = getattr(sys.modules.get(module), name, None)
    return isinstance(base, type) and issubclass(cls, base)


def _has_protocol(cls: type) -> bool:
    return callable(getattr(cls, "to_json", None)) and callable(getattr(cls, "from_json", None))


def mismatch(path: str, expected: Any, problem: str) -> PayloadDecodeError:
    """Return the error for a value that is not what a type says."""
    return PayloadDecodeError(
        f"{path}: {problem}" if path else problem, path=path, expected=type_name(expected), text=None
    )


def type_name(expected: Any) -> str:
    """Return a type as people write it."""
    if isinstance(expected, type) and typing.get_origin(expected) is None:
        return expected.__name__
    return re.sub(r"\b[\w.]+\.(?=\w)", "", str(expected))


def _got(expected: Any, value: Any, path: str) -> PayloadDecodeError:
    shown = f"{type(value).__name__} {value!r:.60}"
    return mismatch(path, expected, f"expected {type_name(expected)}, got {shown}")


# What is made of decoded JSON, for each kind of type:


def _anything(value: Any, path: str) -> Any:
    return value


def _instance(expected: type, value: Any, path: str) -> Any:
    try:
        fits = isinstance(value, expected)
    except TypeError:
        return value  # a protocol: nothing can be said
    if not fits:
        raise _got(expected, value, path)
    return value


def _enveloped(expected: Any, value: Any, path: str) -> Any:
    """Take an object that came in an envelope; in strict mode those within others are still closed."""
    envelope = (expected.__name__, expected.__module__)
    if isinstance(value, dict) and (value.get("__class__"), value.get("__module__")) == envelope:
        return expected.from_json(value.get("__data__"))
    return _instance(expected, value, path)


def _json_scalar(expected: type, value: Any, path: str) -> Any:
    if expected is float and type(value) is int:
        return float(value)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise _got(expected, value, path)
    return value


def _from_text(parse: Callable[[str], Any], expected: type, value: Any, path: str) -> Any:
    if isinstance(value, expected) and not (expected is date and isinstance(value, datetime)):
        return value
    if not isinstance(value, str):
        raise _got(expected, value, path)
    try:
        return parse(value)
    except ValueError:
        raise _got(expected, value, path) from None


_TIME = re.compile(
    r"(?P<head>(?:\d{4}-\d\d-\d\d[T ])?\d\d:\d\d(?::\d\d)?)(?:[.,](?P<fraction>\d+))?"
    r"(?P<zone>[Zz]|[+-]\d\d:?\d\d(?::\d\d)?)?$"
)


def _readable(text: str) -> str:
    """Return ISO 8601 text as ``fromisoformat`` of 3.10 reads it: six digits, zone as ``+00:00``."""
    match = _TIME.match(text)
    if match is None:
        return text
    fraction = f".{match['fraction'][:6]:0<6}" if match["fraction"] else ""
    zone = match["zone"] or ""
    if zone in ("Z", "z"):
        zone = "+00:00"
    elif zone and ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    return match["head"] + fraction + zone


def _decimal(expected: type, value: Any, path: str) -> Any:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        try:
            return Decimal(str(value))
        except InvalidOperation:
            pass  # the error below says it
    raise _got(expected, value, path)


def _timedelta(expected: type, value: Any, path: str) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return timedelta(seconds=value)
    raise _got(expected, value, path)


def _enum(expected: type[Enum], value: Any, path: str) -> Any:
    if isinstance(value, expected):
        return value
    for member in expected:
        if plain(member.value) == value and isinstance(value, bool) == isinstance(member.value, bool):
            return member
    with contextlib.suppress(ValueError, TypeError):
        return expected(value)  # several flags, or what the class makes of it
    known = ", ".join(repr(plain(member.value)) for member in expected)
    raise mismatch(path, expected, f"expected {expected.__name__}, one of {known}, got {value!r:.60}")


def _dataclass(expected: type, type_arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if isinstance(value, expected):
        return value
    if not isinstance(value, dict):
        raise _got(expected, value, path)
    arguments = {}
    for name, convert, default in _fields_of(expected, type_arguments):
        where = f"{path}.{name}" if path else name
        if name in value:
            arguments[name] = convert(value[name], where)
        elif not default:
            raise mismatch(where, expected, "is missing")
    try:
        return expected(**arguments)
    except (TypeError, ValueError) as error:  # its own checks
        raise mismatch(path, expected, f"{expected.__name__} refuses it: {error}") from error


@functools.lru_cache(maxsize=1024)
def _fields_of(cls: type, type_arguments: tuple[Any, ...]) -> tuple[tuple[str, Convert, bool], ...]:
    """Return name, converter and whether there is a default, for each field that the constructor takes."""
    hints = _hints_of(cls)
    variables = _type_variables(cls, type_arguments)
    return tuple(
        (
            field.name,
            _build(_substituted(hints[field.name], variables))[0],
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    )


def _hints_of(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # evaluates what users wrote
        raise PayloadDecodeError(
            f"the annotations of {cls.__name__} cannot be evaluated: {type(error).__name__}: {error}",
            expected=cls.__name__,
        ) from error


def _type_variables(cls: Any, type_arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Return what the type variables of a generic class and of its bases stand for."""
    found = dict(zip(getattr(cls, "__parameters__", ()), type_arguments, strict=False))
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if isinstance(origin, type) and origin is not typing.Generic:
            arguments = tuple(_substituted(each, found) for each in typing.get_args(base))
            found = {**_type_variables(origin, arguments), **found}
    return found


def _substituted(hint: Any, variables: dict[Any, Any]) -> Any:
    """Return an annotation with what its type variables stand for."""
    if isinstance(hint, typing.TypeVar):
        return variables.get(hint, Any)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or typing.get_origin(hint) is None:
        return hint
    return hint[tuple(variables.get(each, Any) for each in parameters)]


def _pydantic(expected: Any, value: Any, path: str) -> Any:
    if isinstance(value, expected):
        return value
    validate = getattr(expected, "model_validate", None) or expected.parse_obj
    try:
        return validate(value)
    except ValueError as error:  # pydantic.ValidationError is one
        found = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
        raise mismatch(_joined(path, found["loc"]), expected, str(found["msg"])) from error


def _joined(path: str, parts: typing.Iterable[Any]) -> str:
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}" if path else str(part)
    return path


def _msgspec(cls: type, expected: Any, value: Any, path: str) -> Any:
    if isinstance(value, cls):
        return value
    msgspec = cast("Any", sys.modules["msgspec"])
    try:
        return msgspec.convert(value, expected, str_keys=True)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        where = where.rstrip("`")
        raise mismatch(path + where if path else where.lstrip("."), expected, problem) from error


def _typed_dict(expected: Any) -> tuple[Convert, bool]:
    items = {name: _build(_without_marks(hint)) for name, hint in typing.get_type_hints(expected).items()}

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _got(expected, value, path)
        missing = sorted(expected.__required_keys__ - value.keys())
        if missing:
            raise mismatch(_joined(path, missing[:1]), expected, "is missing")
        return {
            name: items[name][0](each, _joined(path, [name])) if name in items else each for name, each in value.items()
        }

    return convert, all(is_plain for _, is_plain in items.values())


def _without_marks(hint: Any) -> Any:
    """Return the type in ``Required[...]`` and ``NotRequired[...]``."""
    return typing.get_args(hint)[0] if getattr(hint, "__origin__", None) in _MARKS else hint


_MARKS = {getattr(typing, name) for name in ("Required", "NotRequired") if hasattr(typing, name)}


def _union(expected: Any) -> tuple[Convert, bool]:
    options = [(each, *_build(each)) for each in typing.get_args(expected)]

    def convert(value: Any, path: str) -> Any:
        refusals = []
        for _, attempt, _ in options:
            try:
                return attempt(value, path)
            except PayloadDecodeError as error:  # noqa: PERF203 (a union has few members)
                refusals.append(error)
        # One that got further in is of more use than that nothing fits.
        deepest = max(refusals, key=lambda error: len(error.path))
        raise deepest if len(deepest.path) > len(path) else _got(expected, value, path)

    return convert, all(is_plain for _, _, is_plain in options)


def _literal(expected: Any) -> Convert:
    def convert(value: Any, path: str) -> Any:
        for each in typing.get_args(expected):
            if plain(each) == value and isinstance(value, bool) == isinstance(each, bool):
                return each
        raise _got(expected, value, path)

    return convert


def _list_of(make: Callable[[list[Any]], Any]) -> Callable[[Any], tuple[Convert, bool]]:
    def build(expected: Any) -> tuple[Convert, bool]:
        arguments = typing.get_args(expected)
        item, is_plain = _build(arguments[0]) if arguments else (_anything, True)

        def convert(value: Any, path: str) -> Any:
            if not isinstance(value, list):
                raise _got(expected, value, path)
            return make([item(each, f"{path}[{index}]") for index, each in enumerate(value)])

        return convert, is_plain

    return build


def _tuple(expected: Any) -> tuple[Convert, bool]:
    arguments = typing.get_args(expected)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return _list_of(tuple)(expected)
    items = [_build(each) for each in arguments if each != ()]

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise _got(expected, value, path)
        return tuple(item(each, f"{path}[{n}]") for n, ((item, _), each) in enumerate(zip(items, value, strict=True)))

    return convert, all(is_plain for _, is_plain in items)


def _named_tuple(expected: Any, value: Any, path: str) -> Any:
    items = _items_of(expected)
    if not isinstance(value, list) or len(value) != len(items):
        raise _got(expected, value, path)
    pairs = zip(items, value, strict=True)
    return expected._make(item(each, f"{path}.{name}" if path else name) for (name, item), each in pairs)


@functools.lru_cache(maxsize=1024)
def _items_of(cls: Any) -> tuple[tuple[str, Convert], ...]:
    hints = _hints_of(cls)
    return tuple((name, _build(hints.get(name, Any))[0]) for name in cls._fields)


def _dict(expected: Any) -> tuple[Convert, bool]:
    key_type, value_type = typing.get_args(expected) or (Any, Any)
    key, is_key_plain = _build(key_type)
    item, is_plain = _build(value_type)
    key = _KEYS.get(_without_wrapping(key_type), key)

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _got(expected, value, path)
        return {key(k, f"{path}[{k!r}]"): item(each, f"{path}[{k!r}]") for k, each in value.items()}

    return convert, is_plain and is_key_plain


def _number_key(expected: type, value: Any, path: str) -> Any:
    try:
        return expected(value)
    except ValueError:
        raise _got(expected, value, path) from None


def _bool_key(value: Any, path: str) -> Any:
    if value not in ("true", "false"):
        raise _got(bool, value, path)
    return value == "true"


_KEYS: dict[Any, Convert] = {
    int: functools.partial(_number_key, int),
    float: functools.partial(_number_key, float),
    bool: _bool_key,
}
"""JSON's keys are text."""

_SCALARS: dict[Any, Callable[[Any, Any, str], Any]] = {
    **dict.fromkeys((bool, int, float, str, type(None)), _json_scalar),
    datetime: functools.partial(_from_text, lambda text: datetime.fromisoformat(_readable(text))),
    date: functools.partial(_from_text, date.fromisoformat),
    time: functools.partial(_from_text, lambda text: time.fromisoformat(_readable(text))),
    UUID: functools.partial(_from_text, UUID),
    timedelta: _timedelta,
    Decimal: _decimal,
}
_JSON_SCALARS = frozenset({bool, int, float, str, type(None)})

_CONTAINERS: dict[Any, Callable[[Any], tuple[Convert, bool]]] = {
    tuple: _tuple,
    set: _list_of(set),
    frozenset: _list_of(frozenset),
    collections.abc.Set: _list_of(frozenset),
    **dict.fromkeys(
        (
            list,
            collections.abc.Sequence,
            collections.abc.MutableSequence,
            collections.abc.Collection,
            collections.abc.Iterable,
        ),
        _list_of(list),
    ),
    **dict.fromkeys((dict, collections.abc.Mapping, collections.abc.MutableMapping), _dict),
}
