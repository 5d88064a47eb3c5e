"""The type variable of generic classes.

Its default lets code say ``TaskBase`` for a task with any result, as apps written for 1.7.0 do. Only type checkers know
defaults in every version of Python, and they know ``typing_extensions`` by themselves: it need not be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    R_co = TypeVar("R_co", covariant=True)
