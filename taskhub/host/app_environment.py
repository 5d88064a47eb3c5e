"""The packages of an app that lie apart from those of the host: found, and put before everything else.

Where apps have their packages: in ``.python_packages`` (where a deployment puts them), in the virtual environment that
is activated, in ``.venv`` of the app's folder. A host that is installed elsewhere (``pipx``, ``uv tool``) takes them
from there, its own packages fill the gaps. Done before anything is imported that an app may bring in another release.
"""

from __future__ import annotations

import os
import site
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_VENDORED = Path(".python_packages/lib/site-packages")


@dataclass(frozen=True, slots=True)
class AppEnvironment:
    """Where an app has packages of its own."""

    folders: tuple[Path, ...] = ()
    """Of packages, those that come first first."""
    warning: str | None = None


def find_environment(app_root: Path, environ: Mapping[str, str]) -> AppEnvironment:
    """Return where an app has packages of its own.

    Args:
        app_root: folder of the app.
        environ: ``VIRTUAL_ENV`` in it is the virtual environment that is activated.
    """
    folders = [folder for folder in [app_root / _VENDORED] if folder.is_dir()]
    environment = _virtual_environment(app_root, environ)
    if environment is None:
        return AppEnvironment(tuple(folders))
    packages = environment / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    if packages.is_dir():
        return AppEnvironment((*folders, packages))
    others = sorted(path.name.removeprefix("python") for path in environment.glob("lib/python*"))
    return AppEnvironment(
        tuple(folders),
        f"The packages in {environment} are not used: they are for Python {' and '.join(others) or 'of another kind'}, "
        f"and this host runs on {sys.version_info.major}.{sys.version_info.minor}. Install the host there: "
        f"{environment}/bin/python -m pip install durable-taskhub.",
    )


def _virtual_environment(app_root: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the app's virtual environment, ``None`` when the host runs in it, or there is none with functions."""
    activated = environ.get("VIRTUAL_ENV")
    for environment in [*([Path(activated)] if activated else []), app_root / ".venv"]:
        if not (environment / "pyvenv.cfg").is_file():
            continue
        if environment.resolve() == Path(sys.prefix).resolve():
            return None
        if any(environment.glob("lib/python*/site-packages/azure/functions")):
            return environment
    return None


def enter_environment(folders: Sequence[Path]) -> None:
    """Put folders of packages before everything that ``sys.path`` has, with what their ``.pth`` files add."""
    for folder in reversed(folders):
        before = list(sys.path)
        site.addsitedir(os.fspath(folder))
        added = [path for path in sys.path if path not in before]
        if str(folder) not in added:
            added.insert(0, str(folder))
        sys.path[:] = [*added, *(path for path in before if path not in added)]
