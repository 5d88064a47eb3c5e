"""What this package does otherwise than the official one.

A difference between the two is known when, and only when, taking back one or more of these makes it go away: all of
the rest of the answer is then the official one. So a mend says as exactly as can be what it changes. The names are
those by which ``docs/reference/differences.md`` tells of them; Q numbers are those of the SDK's specification.
"""

from __future__ import annotations

from tests.support.mends import compounds, entities, replay, values
from tests.support.mends.mending import Mend, taken_back

__all__ = ["MENDS", "Mend", "taken_back"]

MENDS: tuple[Mend, ...] = (*replay.MENDS, *compounds.MENDS, *values.MENDS, *entities.MENDS)
