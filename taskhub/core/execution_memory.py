"""What an instance has taken in earlier executions, so that second copies of messages do nothing.

The history tells which messages an execution has taken, but continuing as new begins another one, and so does every
start under an id that was used before. A copy that comes late then meets a history that does not know it: an event
would be given out twice, and a start would begin an execution anew that may have ended long ago. So an instance that
changes its execution remembers the starts of all its executions, and what came for them during the last hour.

The reference has none of this; there a late copy of a start replaces whatever execution is current.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.core.entity_memory import RequestMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from taskhub.model.ids import ExecutionId

Fingerprint = str
"""Of type, time, name and content of something that a client sent."""

MAX_STARTS = 64
"""Executions of one instance whose starts are remembered; the last ones."""

_ALWAYS = 2**31 - 1
"""Minute under which starts are remembered: they are not forgotten for their age."""


class ExecutionMemory:
    """What one instance has taken; empty for most, which never change their execution.

    Args:
        remembered: what was remembered before.
    """

    def __init__(self, remembered: Mapping[str, int] | None = None) -> None:
        remembered = remembered or {}
        self._starts = dict.fromkeys(key for key, minute in remembered.items() if minute == _ALWAYS)
        self._messages = RequestMemory({key: minute for key, minute in remembered.items() if minute != _ALWAYS})
        self.has_changed = False
        """Whether anything was noted since it was stored."""

    def __repr__(self) -> str:
        return f"<ExecutionMemory of {len(self._starts)} starts, {self._messages!r}>"

    def has_begun(self, execution_id: ExecutionId) -> bool:
        """Return whether an execution was begun before by a message."""
        return RequestMemory.key(f"start {execution_id}") in self._starts

    def has_taken(self, fingerprint: Fingerprint | None) -> bool:
        """Return whether a message of a client was taken by an earlier execution."""
        return fingerprint is not None and self._messages.has_taken(fingerprint)

    def begin(self, execution_id: ExecutionId, *, after: ExecutionId | None) -> None:
        """Note that a message begins an execution.

        Args:
            execution_id: of the start.
            after: the execution in whose place it comes, if there is one.
        """
        if after is not None:
            self._note_root(after)
            self._note_start(execution_id)

    def take_the_place(self, taken: Iterable[Fingerprint], now: datetime) -> None:
        """Note what was taken by an execution in whose place another one comes, by a message.

        Args:
            taken: the messages of clients that it took.
            now: the time.
        """
        for fingerprint in taken:
            self._messages.take(fingerprint, now)
            self.has_changed = True

    def go_on(self, execution_id: ExecutionId, taken: Iterable[Fingerprint | None], now: datetime) -> None:
        """Note that an execution continues as new.

        Args:
            execution_id: the one that ends.
            taken: the messages of clients that it took.
            now: the time.
        """
        self._note_root(execution_id)
        for fingerprint in taken:
            if fingerprint is not None:
                self._messages.take(fingerprint, now)
        self.has_changed = True

    def remembered(self) -> dict[str, int]:
        """Return what is to be remembered."""
        return {**dict.fromkeys(self._starts, _ALWAYS), **self._messages.remembered()}

    def _note_root(self, execution_id: ExecutionId) -> None:
        # Once anything is remembered, so is the start from which the current execution came.
        if not self._starts:
            self._note_start(execution_id)

    def _note_start(self, execution_id: ExecutionId) -> None:
        self.has_changed = True
        self._starts[RequestMemory.key(f"start {execution_id}")] = None
        while len(self._starts) > MAX_STARTS:
            del self._starts[next(iter(self._starts))]
