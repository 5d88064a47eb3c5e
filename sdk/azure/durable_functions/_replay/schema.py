"""Versions of the answer that the extension understands."""

from __future__ import annotations

from enum import Enum


class ReplaySchema(Enum):
    """Form of ``actions`` in the orchestrator's state.

    ``V1`` has one list of actions for each step, ``V2`` a single list in which compounds are actions too, ``V3``
    may also split timers beyond the host's limit.
    """

    V1 = 0
    V2 = 1
    V3 = 2
