"""JSON text exactly as Newtonsoft.Json writes it, and time texts.

No blanks; non-ASCII as it is, except U+0085, U+2028 and U+2029, which are escaped. What the XML of the queue service
cannot carry (halves of surrogate pairs, U+FFFE, U+FFFF) is escaped too, where the reference would fail.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from json import JSONEncoder
from typing import TYPE_CHECKING

from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from re import Match

_UNWRITABLE = re.compile("[\x85\u2028\u2029\ufffe\uffff\ud800-\udfff]")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_ENCODER = JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{0,6}[1-9])?Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,7})?(?:Z|([+-])(\d\d):(\d\d))?")


def json_of(value: object) -> str:
    """Return the JSON text of lists, mappings, texts, numbers, booleans and ``None``; see :func:`writable`."""
    return _ENCODER.encode(value)


def json_text(value: str | None) -> str:
    """Return a text as a JSON string, ``None`` as ``null``; see :func:`writable`."""
    return "null" if value is None else _ENCODER.encode(value)


def writable(json: str) -> str:
    """Return a whole JSON text with the characters escaped that a JSON encoder of Python leaves as they are."""
    return json if json.isascii() else _UNWRITABLE.sub(_escape, json)


def storable(text: str) -> str:
    """Return a text as a table can hold it: half of a surrogate pair becomes its JSON escape.

    Python has such halves where a file name is no UTF-8. Within a JSON text, which inputs and results are, the escape
    means the same; elsewhere it is what can be seen of a character that no service stores.
    """
    return text if text.isascii() else _HALF_PAIR.sub(_escape, text)


def parse_utc(text: str) -> Utc:
    """Return the time of a JSON text, moved to UTC where it names another offset.

    Raises:
        ValueError: it is not a time.
    """
    if _CANONICAL_TIME.fullmatch(text):
        return Utc(text)
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not a time: {text!r}")
    seconds, fraction, sign, hours, minutes = match.groups()
    if sign:
        # Whole seconds are moved, the fraction (which has a digit more than datetime) stays as it is.
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        local = datetime.fromisoformat(seconds).replace(tzinfo=timezone(offset if sign == "+" else -offset))
        seconds = local.astimezone(timezone.utc).isoformat()[:19]
    return Utc.parse(f"{seconds}{fraction or ''}Z")


def _escape(match: Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
