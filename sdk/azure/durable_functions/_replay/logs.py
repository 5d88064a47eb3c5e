"""Logging from orchestrators: silent while the code replays, and telling which instance of which function speaks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class Replaying(Protocol):
    """What the logger needs of the executor."""

    @property
    def is_replaying(self) -> bool:
        """Whether the code that runs now has run before."""


class ReplaySafeLogger(_Adapter):
    """A logger for an orchestrator: passes on what code logs that runs for the first time.

    Each record has the attributes ``instance_id`` and ``function_name``, besides those of ``extra``.

    Args:
        logger: where records go.
        executor: knows whether the code replays.
        instance_id: the orchestration's.
        function_name: likewise.
    """

    def __init__(self, logger: logging.Logger, executor: Replaying, *, instance_id: str, function_name: str) -> None:
        super().__init__(logger, {"instance_id": instance_id, "function_name": function_name})
        self._executor = executor

    def isEnabledFor(self, level: int) -> bool:
        """Return whether a record of a level would be passed on now."""
        return not self._executor.is_replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the two attributes."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs
