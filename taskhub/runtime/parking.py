"""Parks instances whose history the edited code does not fit, while an app is being developed (``--watch``).

Elsewhere such an instance fails, as it does under the original. With an editor open it is nearly always the edit that
is wrong, or not finished: so the instance is left as it is stored, its messages are kept, and it is tried again when
the code changes again, or when the host is started again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from taskhub.core.episode import failure
from taskhub.errors import InstanceParked, UnknownFunction
from taskhub.model.actions import Actions, Raised

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.model.ids import InstanceId
    from taskhub.runtime.application import (
        ActivityCall,
        ActivityFailed,
        ActivitySucceeded,
        Application,
        EntityAnswered,
        EntityCall,
        EntityFailed,
        Orchestration,
    )

_MISFIT = re.compile(r"(?:Orchestrator function '[^']*' failed: )?(Non-Deterministic workflow detected.*)", re.DOTALL)
"""How it is told by either SDK, or by what compares its actions with a history; of a parent whose child failed so, the
text begins with the child's name."""


class ParkingApplication:
    """An application whose misfits are parked; all else is the application's that it stands for.

    Args:
        application: the functions.
        tell: takes the text, for people, of what is parked and why.
    """

    def __init__(self, application: Application, tell: Callable[[str], None]) -> None:
        self._application = application
        self._tell = tell

    def __repr__(self) -> str:
        return f"<ParkingApplication of {self._application!r}>"

    def orchestration(
        self, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> Orchestration:
        """Return a fresh execution, which raises InstanceParked where the code does not fit the history."""
        code: Orchestration | None
        try:
            code = self._application.orchestration(name, instance_id=instance_id, parent_instance_id=parent_instance_id)
            missing = ""
        except UnknownFunction as error:
            code, missing = None, str(error)
        return _Careful(code, missing, name, instance_id, self._tell)

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        """Run an activity to its end."""
        return await self._application.run_activity(call)

    def check_entity(self, name: str) -> None:
        """See that there is an entity of a name."""
        self._application.check_entity(name)

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        """Run a batch of operations to its end."""
        return await self._application.run_entity_batch(call)


class _Careful:
    """One execution; see the module."""

    def __init__(
        self, code: Orchestration | None, missing: str, name: str, instance_id: InstanceId, tell: Callable[[str], None]
    ) -> None:
        self._code = code
        self._missing = missing
        self._name = name
        self._who = f"Instance '{instance_id}' of '{name}'"
        self._tell = tell

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        if self._code is None:
            if not replayed:
                # It has not begun: somebody asks for what is not there.
                return Actions((), None, failure(self._name, self._missing), 0)
            raise self._parked(self._missing)
        decided = await self._code.advance(events, replayed=replayed)
        misfit = _MISFIT.fullmatch(decided.outcome.reason) if isinstance(decided.outcome, Raised) else None
        if misfit is not None:
            raise self._parked(misfit[1])
        return decided

    def close(self) -> None:
        if self._code is not None:
            self._code.close()

    def _parked(self, why: str) -> InstanceParked:
        self._tell(
            f"{self._who} is parked: {why}\nIt stays as it is and is tried again when the code changes. "
            "'taskhub instances terminate' ends it, 'purge --force' removes it."
        )
        return InstanceParked(f"{self._who} is parked: {why}")
