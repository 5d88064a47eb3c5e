"""Values on the command line: JSON, times, statuses, tags."""

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from taskhub.model.ids import Utc
    from taskhub.model.instance import RuntimeStatus

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
TIME_HELP = (
    "A time (2026-01-31, 2026-01-31T12:00Z; UTC if it does not say otherwise), or an age: 90s, 30m, 12h, 7d, 2w."
)


def json_text(text: str | None, option: str) -> str | None:
    """Return a JSON text; ``@FILE`` means what is in a file.

    Raises:
        typer.BadParameter: it is no JSON, or there is no such file.
    """
    if text is None:
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"cannot read {text[1:]}: {error}", param_hint=option) from error
    try:
        return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    except ValueError as error:
        raise typer.BadParameter(
            f"is no JSON ({error}). A text needs its own quotes: {option} '\"text\"'", param_hint=option
        ) from error


def moment(text: str | None, option: str, *, is_ahead: bool = False) -> "Utc | None":
    """Return a time, or the time that lies so far back (or ahead).

    Raises:
        typer.BadParameter: it is neither.
    """
    from taskhub.host.routes import parse_time
    from taskhub.model.ids import Utc

    if text is None:
        return None
    found = re.fullmatch(r"(\d+)\s*([smhdw])", text.strip().lower())
    if found:
        span = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        now = datetime.now(timezone.utc)
        return Utc.of(now + span if is_ahead else now - span)
    time = parse_time(text)
    if time is None:
        raise typer.BadParameter(f"'{text}' is no time. {TIME_HELP}", param_hint=option)
    return time


def statuses(text: str | None) -> "frozenset[RuntimeStatus]":
    """Return statuses that stand in a list, ignoring case; none when there is no list.

    Raises:
        typer.BadParameter: one of them does not exist.
    """
    from taskhub.model.instance import RuntimeStatus

    known = {status.name.lower(): status for status in RuntimeStatus}
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise typer.BadParameter(f"'{unknown[0]}' is no status; there are {', '.join(RuntimeStatus.__members__)}.")
    return frozenset(known[name.lower()] for name in names)


def tags(items: "list[str] | None") -> dict[str, str]:
    """Return tags written as ``name=value``.

    Raises:
        typer.BadParameter: one has no name or no ``=``.
    """
    found = {}
    for item in items or []:
        name, is_pair, value = item.partition("=")
        if not is_pair or not name:
            raise typer.BadParameter(f"'{item}' is no tag; write name=value", param_hint="--tag")
        found[name] = value
    return found
