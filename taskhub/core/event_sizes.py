"""What history events take in memory, roughly: a figure for each, and their texts.

An estimate that is cheap enough to be made of every event once. What the code that was fed the events makes of them is
not in it, nor what Python needs for letters outside of ASCII.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import TYPE_CHECKING

from taskhub.model import history
from taskhub.model.history import ExecutionCompleted, HistoryEventBase, SubOrchestrationFailed, TaskFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.model.history import HistoryEvent

EVENT_BYTES = 450
"""Of an event without texts, with what is remembered of it."""

_FAILURES = (ExecutionCompleted, TaskFailed, SubOrchestrationFailed)


def estimated_bytes(event: HistoryEvent) -> int:
    """Return about how many bytes of memory an event takes."""
    size = EVENT_BYTES
    for text in _TEXTS[type(event)](event):
        if text is not None:
            size += len(text)
    if isinstance(event, _FAILURES) and event.failure is not None:
        size += len(event.failure.error_message) + len(event.failure.stack_trace or "")
    return size


def _texts_of(kind: type[HistoryEventBase]) -> Callable[[object], tuple[str | None, ...]]:
    """Return what gets the texts of events of a kind."""
    names = [field.name for field in fields(kind) if field.type in ("str", "str | None")]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda event: tuple(getattr(event, name) for name in names)  # attrgetter gives no tuple for a single name


_TEXTS = {
    kind: _texts_of(kind)
    for kind in vars(history).values()
    if isinstance(kind, type) and issubclass(kind, HistoryEventBase)
}
