"""The version of an orchestration and that of the app → whether the app runs it.

Source: DurableTask.Core, VersioningSettings and TaskOrchestrationDispatcher.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.model.versions import VersionFailure, VersionMatch

if TYPE_CHECKING:
    from taskhub.model.history import ExecutionStarted

_NUMBERS = re.compile(r"\d+(?:\.\d+){1,3}")


@dataclass(frozen=True, slots=True)
class VersionRule:
    """The app's version, and what it does with others."""

    app_version: str | None = None
    match: VersionMatch = VersionMatch.CURRENT_OR_OLDER
    failure: VersionFailure = VersionFailure.REJECT

    def accepts(self, started: ExecutionStarted) -> bool:
        """Return whether the app runs an execution. Entities have no version and run everywhere."""
        if started.instance.instance_id.startswith("@"):
            return True
        match self.match:
            case VersionMatch.NONE:
                return True
            case VersionMatch.STRICT:
                return (started.version or "") == (self.app_version or "")
            case VersionMatch.CURRENT_OR_OLDER:
                return compare_versions(started.version, self.app_version) <= 0


def compare_versions(one: str | None, other: str | None) -> int:
    """Return a negative number, 0 or a positive one when ``one`` is older, equal or newer.

    No version is older than any. Two to four numbers with dots compare as numbers, everything else as text, ignoring
    case.
    """
    one, other = (one or "").strip(), (other or "").strip()
    if not one or not other:
        return bool(one) - bool(other)
    if _NUMBERS.fullmatch(one) and _NUMBERS.fullmatch(other):
        # A list that is the beginning of the other is less, as a version without a build number is in .NET.
        return _order([int(part) for part in one.split(".")], [int(part) for part in other.split(".")])
    return _order(one.casefold(), other.casefold())


def _order(one: str | list[int], other: str | list[int]) -> int:
    return (one > other) - (one < other)  # type: ignore[operator]  # both are of one type
