"""JSON as user values travel: plain JSON, and the envelope that ``azure.functions`` gives to custom classes.

The worker decodes and encodes activities with ``azure.functions``, so that package decides what the envelope is. What
needs no envelope, nearly everything, is handled here without it, in either of its modes with the same result: strict
mode (environment ``AZURE_FUNCTIONS_DURABLE_STRICT_TYPING``) differs only for custom classes and expected types.

What ``azure.functions`` cannot encode and ``_conversion`` can (dataclasses, dates, models) travels as plain JSON.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from azure.durable_functions.errors import PayloadDecodeError

if TYPE_CHECKING:
    from azure.durable_functions._conversion import Convert

_encode = json.JSONEncoder().encode
_encode_compact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_decode = json.JSONDecoder().decode
# The scanner behind ``decode``, without its two searches for white space around the value.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # an attribute that typeshed leaves out

_ENVELOPE_KEY = '"__class__"'


def df_dumps(value: Any) -> str:
    """Encode a value as JSON text, custom classes by their ``to_json``.

    An object with ``to_json`` becomes ``{"__class__": name, "__module__": module, "__data__": to_json(object)}``;
    in strict mode only at the top.

    Raises:
        TypeError: the value holds something that is neither JSON nor has ``to_json``.
        ValueError: the value contains itself.
    """
    # The commonest inputs by what the encoder would do for them, at a tenth of its cost.
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return int.__repr__(value)
    if value is None:
        return "null"
    try:
        return _encode(value)
    except TypeError:
        return _dumps_custom(value)


def df_loads(text: str | bytes | bytearray, expected_type: Any = None) -> Any:
    """Decode JSON text, envelopes of custom classes by their ``from_json``.

    The class is looked up in a module that the app has already imported; nothing is imported for it.

    Args:
        text: JSON.
        expected_type: what the caller wants. A dataclass, an enumeration, a date, a model of pydantic or msgspec and
            the like is made from the plain JSON; also within ``list[...]`` and other generic types. Of other classes,
            another type than expected is logged, and refused in strict mode.

    Raises:
        json.JSONDecodeError: not JSON.
        PayloadDecodeError: the JSON is not what such a type says.
        TypeError: a class without ``from_json``; in strict mode also another type than expected, or an envelope where
            nothing was expected.
        ValueError: the module of the class is not loaded.
        AttributeError: the module has no such class.
    """
    if expected_type is None:
        if type(text) is not str or _ENVELOPE_KEY in text:
            return _loads_custom(text, None)
        try:
            value, end = _scan(text, 0)
        except StopIteration:
            return _decode(text)  # leading white space, or an error that it words
        return value if end == len(text) else _decode(text)
    convert = converter_for(expected_type)
    return _loads_custom(text, expected_type) if convert is None else convert(df_loads(text), "")


def loads_event(text: str, expected_type: Any = None) -> Any:
    """Decode the data of an external event, as :func:`df_loads`.

    Durable clients encode it twice, HTTP requests once. Without a type that tells, code gets what was encoded once;
    where one is expected both are understood.
    """
    convert = None if expected_type is None else converter_for(expected_type)
    if convert is None:
        return df_loads(text, expected_type)
    value = df_loads(text)
    try:
        return convert(value, "")
    except PayloadDecodeError:
        if not isinstance(value, str):
            raise
        try:
            inner = df_loads(value)
        except json.JSONDecodeError:
            inner = value
        return convert(inner, "")


def converted(value: Any, expected_type: Any) -> Any:
    """Return a decoded value as the type says, if it is one of those that :func:`df_loads` makes.

    Raises:
        PayloadDecodeError: the value is not what the type says.
    """
    convert = None if expected_type is None else converter_for(expected_type)
    return value if convert is None else convert(value, "")


_JSON_TYPES = (str, int, float, bool, list, dict, None, type(None), Any)


def converter_for(expected_type: Any) -> Convert | None:
    """Return how to make a value of a type; ``None`` when JSON's own types are all that it names."""
    if expected_type in _JSON_TYPES:
        return None
    from azure.durable_functions import _conversion  # seldom needed, and it loads decimal and uuid

    return _conversion.converter_for(expected_type)


def compact_json(value: Any) -> str:
    """Encode as the extension stores JSON: no blanks between parts, non-ASCII characters as they are."""
    try:
        return _encode_compact(value)
    except TypeError:
        return _encode_compact(json.loads(_dumps_custom(value)))


def _dumps_custom(value: Any) -> str:
    from azure.functions import _durable_functions as worker  # heavy, and seldom needed

    try:
        return _dumps_as_the_worker(worker, value)
    except TypeError:
        return _dumps_plain(worker, value)


def _dumps_as_the_worker(worker: Any, value: Any) -> str:
    if hasattr(worker, "df_dumps"):  # since 1.26
        return str(worker.df_dumps(value))
    return json.dumps(value, default=worker._serialize_custom_object)


def _dumps_plain(worker: Any, value: Any) -> str:
    from azure.durable_functions._conversion import plain

    if getattr(worker, "_is_strict_mode", bool)():
        return _dumps_as_the_worker(worker, plain(value))

    def encode(part: Any) -> Any:
        made = plain(part)
        return worker._serialize_custom_object(part) if made is part else made

    return json.dumps(plain(value), default=encode)


def _loads_custom(text: str | bytes | bytearray, expected_type: Any) -> Any:
    from azure.functions import _durable_functions as worker

    if hasattr(worker, "df_loads"):
        return worker.df_loads(text, expected_type)  # type: ignore[arg-type]  # it passes bytes on to json
    return json.loads(text, object_hook=worker._deserialize_custom_object)
