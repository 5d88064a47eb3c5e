"""Reading the JSON files of an app as tolerantly as the Functions host does."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_STRING_OR_COMMA = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])')


def read_json_object(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return the object that a JSON file holds, and a warning when more follows it.

    A byte order mark, comments and trailing commas are accepted, as the original's reader does. A second document
    after the first is only worth a warning: a public sample ships with one.

    Raises:
        ConfigurationError: the file cannot be read, or is not a JSON object; the message names file, line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    text = _blank(_STRING_OR_COMMA, _blank(_STRING_OR_COMMENT, text))
    start = len(text) - len(text.lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{path} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}. Correct the file."
        ) from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} must hold a JSON object, but holds {_kind(value)}.")
    rest = text[end:].strip()
    if not rest:
        return value, None
    line = text.count("\n", 0, end + text[end:].index(rest[0])) + 1
    return value, f"{path.name}: everything from line {line} on is ignored, because it follows the end of the document."


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """Replace what the pattern finds, but for strings, by blanks, so that lines and columns stay as they are."""
    return pattern.sub(lambda found: found[0] if found[0][0] == '"' else re.sub(r"[^\n]", " ", found[0]), text)


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    return "null" if value is None else f"a {type(value).__name__}"
