"""Receipts of the messages that a worker has in hand, in a file: a line for each that is taken, and for each let go.

The lines are written as things happen and not synced: they are for the death of the process, not of the machine. When
there are many more lines than messages the file is written anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING

from taskhub.runtime.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_IDLE_LINES = 10_000

logger = logging.getLogger(__name__)


class ReceiptFile:
    """See the module, and :class:`taskhub.runtime.receipts.Receipts`.

    Args:
        path: of the file, which only one process uses at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Receipt] = {}
        self._lines = 0
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            self._read()
            self._write_anew()
        except OSError as error:
            self._give_up(error)
        self._left = tuple(self._kept.values())

    def __repr__(self) -> str:
        return f"<ReceiptFile {self._path}, {len(self._kept)} kept>"

    def left(self) -> Sequence[Receipt]:
        """Return what was in the file when it was opened."""
        return self._left

    def took(self, receipt: Receipt) -> None:
        """Add a line."""
        self._kept[receipt.message_id] = receipt
        self._write(_line(receipt))

    def gone(self, message_id: str) -> None:
        """Add a line."""
        if self._kept.pop(message_id, None) is not None:
            self._write(f"- {message_id}\n")

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        with open(self._file, encoding="utf-8", errors="replace", closefd=False) as lines:
            for line in lines:
                match line.split():
                    case ["+", queue, message_id, receipt] if line.endswith("\n"):
                        self._kept[message_id] = Receipt(queue, message_id, receipt)
                    case ["-", message_id]:
                        self._kept.pop(message_id, None)

    def _write(self, text: str) -> None:
        if self._file < 0:
            return
        try:
            os.write(self._file, text.encode())
            self._lines += 1
            if self._lines > MAX_IDLE_LINES + 2 * len(self._kept):
                self._write_anew()
        except OSError as error:
            self._give_up(error)

    def _write_anew(self) -> None:
        os.ftruncate(self._file, 0)
        os.write(self._file, "".join(map(_line, self._kept.values())).encode())
        self._lines = len(self._kept)

    def _give_up(self, error: OSError) -> None:
        # Without the notes, messages of a worker that dies come back when their time is over.
        logger.warning("%s cannot be used, so that a crash of this worker costs more time: %s", self._path, error)
        with contextlib.suppress(OSError):
            self.close()
        self._file = -1


def _line(receipt: Receipt) -> str:
    return f"+ {receipt.queue} {receipt.message_id} {receipt.receipt}\n"
