"""How a process imports its many modules."""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Keep the garbage collector away from modules: while they are imported, and for the life of the process.

    Nothing of what they are made of is garbage; to look at it again and again takes a tenth of the time that a host
    needs to start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
