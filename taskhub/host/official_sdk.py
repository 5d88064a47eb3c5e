"""Finds the official SDK where ours should be: both distributions install into ``azure/durable_functions``.

``pip`` lets both in, the files of whichever came last lie on top, and to uninstall either takes files of both away.
Usually the official one comes in by the app's ``requirements.txt``. Nothing here imports the SDK, which might be the
wrong one; only the standard library is needed, so that a command can look before it loads anything else.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OFFICIAL = "azure-functions-durable"
OURS = "durable-taskhub"
_PACKAGE = "azure.durable_functions"


@dataclass(frozen=True, slots=True)
class SdkClash:
    """The official SDK is installed beside ours, or in its place."""

    official_version: str | None
    """``None`` when its files are there without the metadata of an installation."""
    folder: Path
    """Where ``azure.durable_functions`` is imported from."""
    is_ours: bool
    """Whether what is imported from there is ours."""

    def __str__(self) -> str:
        official = f"{OFFICIAL} {self.official_version}" if self.official_version else f"not that of {OURS}"
        pip = f"{sys.executable} -m pip"
        cure = (
            f"Take {OFFICIAL} out of requirements.txt and put this right with\n"
            f"  {pip} uninstall --yes {OFFICIAL}\n"
            f"  {pip} install --force-reinstall --no-deps {OURS}\n"
            f"({OURS}, or the path of your copy; needed because the first command removes files of both)."
        )
        if self.is_ours:
            return (
                f"{official} is installed beside {OURS}. Both own {_PACKAGE}; the one in use, in {self.folder}, is "
                f"that of {OURS}, perhaps with files of the other. {cure}"
            )
        return (
            f"{_PACKAGE} in {self.folder} is {official}, and hides the one that the task hub needs. Apps run "
            f"unchanged on either, but in one environment there is room for one. {cure}"
        )


def find_clash(path: Sequence[str] | None = None) -> SdkClash | None:
    """Return what is wrong with the SDK that an import would find; ``None`` when nothing is.

    Args:
        path: folders to look through, in order; by default those of ``sys.path``.
    """
    folders = list(sys.path if path is None else path)
    init = _init_file(folders)
    if init is None:
        return None  # the import says so, better than anybody
    official = next(iter(metadata.distributions(name=OFFICIAL, path=folders)), None)
    is_ours = (init.parent / "replay.py").is_file() and not (official is not None and _has_written(official, init))
    if official is None and is_ours:
        return None
    return SdkClash(None if official is None else official.version, init.parent, is_ours)


def _init_file(folders: list[str]) -> Path | None:
    # "azure" is a namespace, spread over folders. No import, so that no hook and no package can get in the way.
    package = PathFinder.find_spec(_PACKAGE, [str(Path(folder, "azure")) for folder in folders])
    return Path(package.origin) if package is not None and package.origin is not None else None


def _has_written(distribution: metadata.Distribution, file: Path) -> bool:
    """Return whether a file is as the distribution installed it, by the hash in its RECORD."""
    for entry in distribution.files or ():
        if entry.hash is not None and Path(str(entry.locate())) == file:
            digest = hashlib.new(entry.hash.mode, file.read_bytes()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == entry.hash.value
    return False
