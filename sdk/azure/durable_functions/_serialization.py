"""JSON as user values travel: plain JSON, and the envelope that ``azure.functions`` gives to custom classes.

The worker decodes and encodes activities with ``azure.functions``, so that package decides what the envelope is. What
needs no envelope, nearly everything, is handled here without it, in either of its modes with the same result: strict
mode (environment ``AZURE_FUNCTIONS_DURABLE_STRICT_TYPING``) differs only for custom classes and expected types.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any

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


def df_loads(text: str | bytes | bytearray, expected_type: type | None = None) -> Any:
    """Decode JSON text, envelopes of custom classes by their ``from_json``.

    The class is looked up in a module that the app has already imported; nothing is imported for it.

    Args:
        text: JSON.
        expected_type: what the caller wants. Another type is logged, and refused in strict mode.

    Raises:
        json.JSONDecodeError: not JSON.
        TypeError: a class without ``from_json``; in strict mode also another type than expected, or an envelope where
            nothing was expected.
        ValueError: the module of the class is not loaded.
        AttributeError: the module has no such class.
    """
    if expected_type is None and type(text) is str and _ENVELOPE_KEY not in text:
        try:
            value, end = _scan(text, 0)
        except StopIteration:
            return _decode(text)  # leading white space, or an error that it words
        return value if end == len(text) else _decode(text)
    return _loads_custom(text, expected_type)


def compact_json(value: Any) -> str:
    """Encode as the extension stores JSON: no blanks between parts, non-ASCII characters as they are."""
    try:
        return _encode_compact(value)
    except TypeError:
        return _encode_compact(json.loads(_dumps_custom(value)))


def _dumps_custom(value: Any) -> str:
    from azure.functions import _durable_functions as worker  # heavy, and seldom needed

    if hasattr(worker, "df_dumps"):  # since 1.26
        return str(worker.df_dumps(value))
    return json.dumps(value, default=worker._serialize_custom_object)


def _loads_custom(text: str | bytes | bytearray, expected_type: type | None) -> Any:
    from azure.functions import _durable_functions as worker

    if hasattr(worker, "df_loads"):
        return worker.df_loads(text, expected_type)  # type: ignore[arg-type]  # it passes bytes on to json
    return json.loads(text, object_hook=worker._deserialize_custom_object)
