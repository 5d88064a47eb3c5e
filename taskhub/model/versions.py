"""How an app treats orchestrations of other versions than its own. Source: DurableTask.Core, VersioningSettings."""

from __future__ import annotations

import enum


class VersionMatch(enum.Enum):
    """Which versions an app runs."""

    NONE = "None"
    """All."""
    STRICT = "Strict"
    """Its own only."""
    CURRENT_OR_OLDER = "CurrentOrOlder"


class VersionFailure(enum.Enum):
    """What becomes of an orchestration whose version the app does not run."""

    REJECT = "Reject"
    """It stays as it is, for a worker of another version."""
    FAIL = "Fail"
