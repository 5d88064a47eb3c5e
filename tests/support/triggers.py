"""What functions of a recorded scenario were given, recorded and ours, in one comparable form."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.support.extension_state import without_traces
from tests.support.lab import masked
from tests.support.recorded_http import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Triggers = Counter[tuple[str, str, str]]
"""Kind, name, text."""

_LONG = re.compile(r"(\w)\1{999,}")
_TRACES = re.compile(r'("ParentTraceContext": )\{[^}]*\}|("ClientSpanId": )"\w+"')
_EPISODES = {12, 13}


def recorded_triggers(scenario: str) -> list[tuple[str, str, str]]:
    """Return what orchestrators and entities were given, in order."""
    lines = (EXTENSION / scenario / "triggers.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row.get("kind") in ("orchestrator", "entity")]
    return [(row["kind"], row["name"], row["trigger"]) for row in rows]


def comparable(triggers: Iterable[tuple[str, str, str]], *, without: Collection[str] = ()) -> Triggers:
    """Return the whole texts, but for times and ids."""
    return Counter((kind, name.lower(), _plain(text)) for kind, name, text in triggers if not _is_of(text, without))


def facts(triggers: Iterable[tuple[str, str, str]], *, without: Collection[str] = ()) -> set[str]:
    """Return everything that the texts say, whichever episode it came in."""
    found = set()
    for kind, name, text in triggers:
        if _is_of(text, without):
            continue
        given = json.loads(_plain(text))
        for part in ("history", "batch"):
            for each in given.pop(part, ()):
                if each.get("EventType") not in _EPISODES:
                    each.pop("IsPlayed", None)
                    found.add(json.dumps([kind, name.lower(), given.get("instanceId"), each]))
        if kind == "orchestrator":
            del given["isReplaying"]
            found.add(json.dumps([kind, name.lower(), given]))
    return found


def _is_of(text: str, instances: Collection[str]) -> bool:
    return "\u00ab" not in text and json.loads(text).get("instanceId") in instances


def _plain(text: str) -> str:
    text = _TRACES.sub(lambda found: f"{found[1] or found[2]}null", text)
    return masked(_LONG.sub(lambda run: f"«{run[1]}*{len(run[0])}»", without_traces(text)))


def indented(text: str) -> Any:
    """Return a text as the extension would write it."""
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
