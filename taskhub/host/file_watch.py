"""Sees that an app's code or configuration was changed, by looking every half second.

No library and no events of the operating system: those do not reach containers that share a folder with their host, and
an app has few files. Looked at are Python files, ``host.json``, ``local.settings.json`` and each ``function.json``; not
data, which apps write themselves, and nothing in virtual environments, hidden folders and caches.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOK_SECONDS = 0.4
_CONFIGURATION = frozenset({"host.json", "local.settings.json", "function.json"})
_OTHERS_FOLDERS = frozenset({"__pycache__", "node_modules"})


class FileWatch:
    """Watches one app.

    Args:
        root: its folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._known = self._scan()

    def __repr__(self) -> str:
        return f"<FileWatch of {self._root}, {len(self._known)} files>"

    async def changed(self) -> list[str]:
        """Wait for a change, and until no more follow it; return the files, relative to the app's folder.

        Cancellation: what changed meanwhile is told by the next call.
        """
        before = self._known
        latest = before
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            found = await asyncio.to_thread(self._scan)
            if found == latest and found != before:
                self._known = found
                names = {name for name in {*before, *found} if before.get(name) != found.get(name)}
                return sorted(name.removeprefix(f"{self._root}{os.sep}") for name in names)
            latest = found

    def _scan(self) -> Mapping[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        folders = [self._root]
        while folders:
            with contextlib.suppress(FileNotFoundError):  # deleted while we looked
                folders += self._scan_folder(folders.pop(), found)
        return found

    def _scan_folder(self, folder: str, found: dict[str, tuple[int, int]]) -> list[str]:
        """Take note of the files of a folder; return the folders in it."""
        below: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if _is_of_the_app(entry):
                        below.append(entry.path)
                elif entry.name.endswith(".py") or entry.name in _CONFIGURATION:
                    status = entry.stat()
                    found[entry.path] = (status.st_mtime_ns, status.st_size)
        return below


def _is_of_the_app(folder: os.DirEntry[str]) -> bool:
    if folder.name.startswith(".") or folder.name in _OTHERS_FOLDERS:
        return False
    return not os.path.exists(os.path.join(folder.path, "pyvenv.cfg"))
