"""Keys of rows: escaped instance ids, row numbers, and the bounds of an id prefix."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from taskhub.model.ids import InstanceId

if TYPE_CHECKING:
    from re import Match

SENTINEL = "sentinel"
"""Row key of the History row that tells which execution owns the history; sorts after all event rows."""

MAX_INSTANCE_ID_UNITS = 512
"""UTF-16 units of an escaped instance id, as a partition key holds them."""

_CONTROL_OFFSET = 0xC0
_ESCAPES = {"^": "^^", "/": "^0", "\\": "^1", "#": "^2", "?": "^3"} | {
    chr(code): "^" + chr(code + _CONTROL_OFFSET) for code in (*range(0x20), *range(0x7F, 0xA0))
}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)
_UNESCAPES = {escaped[1]: raw for raw, escaped in _ESCAPES.items()}
_NEXT_IN_UTF16 = {"\ud7ff": "\U00010000", "\U0010ffff": "\ue000"}
"""Where the order of UTF-16 units is not that of code points: pairs of surrogates come before U+E000."""
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_UNSAFE_IN_BLOB_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\ufffe\uffff]|\.(?:/|\Z)")
"""Besides characters: a path segment that ends with a dot."""
_ESCAPED = re.compile(r"\^(.)", re.DOTALL)


def escape_instance_id(instance_id: InstanceId) -> str:
    """Return the partition key of an instance: characters that a key may not hold are written with ``^``.

    Not idempotent: never escape twice. Message blobs lie under the raw id, history blobs under the escaped one.

    Source: DurableTask.AzureStorage, KeySanitation.
    """
    return instance_id.translate(_ESCAPE_TABLE)


def refusal_of_instance_id(instance_id: str) -> str | None:
    """Return why no instance can have an id; ``None`` for one that it can.

    The limit is the table service's: a partition key holds 1 KiB, and the characters that it may not hold count twice.
    """
    if instance_id.isascii() and 0 < len(instance_id) <= MAX_INSTANCE_ID_UNITS // 2:
        return None  # the usual one, whatever it holds
    if not instance_id:
        return "an instance id cannot be empty"
    if half := _HALF_PAIR.search(instance_id):
        return f"an instance id cannot hold half a surrogate pair (at index {half.start()})"
    escaped = escape_instance_id(InstanceId(instance_id))
    units = len(escaped) if escaped.isascii() else len(escaped.encode("utf-16-le")) // 2
    if units <= MAX_INSTANCE_ID_UNITS:
        return None
    return (
        f"an instance id may have {MAX_INSTANCE_ID_UNITS} characters (UTF-16 units; ^ / \\ # ? and control characters "
        f"count twice), '{instance_id[:40]}…' has {units}"
    )


def blob_folder(name: str) -> str:
    """Return the folder of an instance's blobs: the id, raw for messages and escaped for history values.

    Where blob names cannot hold it, it is a digest: control characters and U+FFFE break the listing of a whole
    container, a backslash becomes a slash, and ``..`` would lead out of the container. The reference stores nothing
    large for such ids; whoever reads a blob follows its name, whatever that is.
    """
    if not _UNSAFE_IN_BLOB_NAMES.search(name):
        return name
    return "^^" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def unescape_instance_id(text: str) -> InstanceId:
    """Return the instance id of a partition key; a ``^`` that begins no escape stays as it is."""
    if "^" not in text:
        return InstanceId(text)
    return InstanceId(_ESCAPED.sub(_unescape, text))


def row_key(index: int) -> str:
    """Return the row key of the event at ``index`` in its execution's history, from 0."""
    return f"{index:016X}"


def prefix_bounds(id_prefix: str) -> tuple[str, str | None]:
    """Return the partition keys between which instances of an id prefix lie: first included, last excluded.

    The upper bound is ``None`` when every higher key has the prefix (it is empty, or only highest characters). Keys
    are compared by UTF-16 unit, as the table service does.
    """
    low = escape_instance_id(InstanceId(id_prefix))
    high = low.rstrip("\uffff")
    if not high:
        return low, None
    last = _NEXT_IN_UTF16.get(high[-1]) or chr(ord(high[-1]) + 1)
    return low, high[:-1] + last


def _unescape(match: Match[str]) -> str:
    return _UNESCAPES.get(match[1], match[0])
