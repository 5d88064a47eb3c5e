"""Notices early that a run will never end: nothing happens in it any more but looking, renewing and putting back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.checks import Violation

if TYPE_CHECKING:
    from taskhub.names import HubNames
    from taskhub.storage.interception import Call

LONGEST_SECONDS = 1_700.0
"""Longer than anything is waited for: a timer of the workload (1,000 s), and a second copy of its message (600 s more);
an answer that is put back for ten minutes."""


class Progress:
    """When something happened last that brings a hub on."""

    def __init__(self, names: HubNames) -> None:
        self._tables = (names.history_table, names.instances_table)
        self._last = 0.0

    def see(self, call: Call, now: float) -> None:
        """Take a call into account that succeeded.

        Args:
            call: which one.
            now: seconds of virtual time.

        Raises:
            Violation: nothing has happened for too long.
        """
        is_write = call.method in ("batch", "write") and call.target in self._tables
        if is_write or (call.service == "queue" and call.method in ("put", "delete")):
            self._last = now
        elif now - self._last > LONGEST_SECONDS:
            raise Violation(f"never ends: nothing has happened for {now - self._last:.0f} s of virtual time")
