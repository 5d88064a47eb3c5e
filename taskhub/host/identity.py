"""The name under which this process owns partitions.

It must be unique among living workers, and it helps when it is the same after a crash: a worker that finds its own name
on a lease takes the partition at once, instead of waiting until the lease ends, and gives back the messages that it had
in hand, whose receipts lie beside. Both hold while a lock on a file of the app says whose turn it is: the operating
system lets go of the lock when its holder dies, however it dies.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from taskhub.host.receipt_file import ReceiptFile
from taskhub.model.ids import WorkerId

if TYPE_CHECKING:
    from taskhub.settings import TaskHubSettings

try:
    import fcntl
except ImportError:  # no such locks on Windows: every process gets a name of its own
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)


class WorkerIdentity:
    """Holds the lock on this process's name until it is released.

    Args:
        app_root: folder of the app.
        hub: name of the task hub.
        number: of this one among the worker processes of a host.
    """

    def __init__(self, app_root: Path, hub: str, number: int = 0) -> None:
        place = hashlib.sha256(f"{app_root}\n{hub}".encode()).hexdigest()[:8]
        place = f"{place}-{number}" if number else place
        machine = socket.gethostname()
        path = Path(tempfile.gettempdir()) / f"taskhub-{os.getuid() if hasattr(os, 'getuid') else 0}-{place}"
        self._lock = _lock(path)
        self.receipts = ReceiptFile(path.with_suffix(".receipts")) if self._lock else None
        """What an earlier process of this name had in hand; only of one that is surely dead."""
        suffix = place if self._lock else f"{place}-{os.getpid()}"
        self.id = WorkerId(f"{machine}-{suffix}")

    def __repr__(self) -> str:
        return f"<WorkerIdentity {self.id}>"

    @property
    def comes_back(self) -> bool:
        """Whether the next process in this one's place has its name, however this one ends."""
        return self._lock is not None

    def settings(self, settings: TaskHubSettings) -> TaskHubSettings:
        """Return settings as they suit the name: whose name does not come back is waited for no longer than need be."""
        return settings if self.comes_back else replace(settings, long_lease_rounds=False)

    def release(self) -> None:
        """Let the next process have the name."""
        if self.receipts is not None:
            self.receipts.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _lock(path: Path) -> IO[bytes] | None:
    if fcntl is None:
        return None
    try:
        file = open(path, "ab")  # noqa: SIM115 (held until release)
    except OSError as error:
        logger.info("%s cannot be opened, so that this worker gets a new name: %s", path, error)
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
