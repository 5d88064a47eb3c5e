"""Which SDK an app runs on: ours or the official one, both of which are ``azure.durable_functions``.

Ours is driven live, the official one as its own extension does: 1.x by JSON, 2.x by protobuf messages. What the
environment of the app has decides, unless the user does: each folder of ``sys.path`` is looked at, in order. Within one
folder there is room for one of them: ``pip`` lets both in, the files of whichever came last lie on top, and to
uninstall either takes files of both away. The one on top is whole, and works.

Nothing here imports an SDK before it is chosen; only the standard library is needed, so that a command can choose
before it loads anything else.
"""

from __future__ import annotations

import base64
import csv
import enum
import hashlib
import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OFFICIAL = "azure-functions-durable"
OURS = "durable-taskhub"
PACKAGE = "azure.durable_functions"
_NAMESPACE, _, _NAME = PACKAGE.rpartition(".")


class SdkChoice(str, enum.Enum):
    """Which SDK the user wants."""

    AUTO = "auto"
    """The first that the environment has."""
    OWN = "own"
    """Ours, also where the official one comes first."""
    OFFICIAL = "official"
    OWN_JSON = "own-json"
    """Ours, driven by the JSON protocol: for tests and comparisons."""


class Drive(enum.Enum):
    """How the task hub and the functions of an app speak with each other."""

    LIVE = enum.auto()
    """Instances stay in memory; ours only."""
    JSON = enum.auto()
    PROTOBUF = enum.auto()


_DRIVES = {"1": Drive.JSON, "2": Drive.PROTOBUF}
"""By the major version of the official SDK."""
_PROTOBUF_PYTHON = (3, 13)
"""The oldest that the official SDK 2.x runs on."""


@dataclass(frozen=True, slots=True)
class Sdk:
    """An SDK that was found."""

    folder: Path
    """Of the package, ``…/azure/durable_functions``."""
    is_ours: bool
    official_version: str | None = None
    """Of the official distribution in the same place, whoever's files lie on top; ``None`` when there is none."""
    lacks: str | None = None
    """A file of the official distribution that is not there, or not whole."""
    drive: Drive = Drive.LIVE

    def __str__(self) -> str:
        if self.is_ours:
            return f"{OURS} in {self.folder}" + (", driven by the JSON protocol" if self.drive is Drive.JSON else "")
        return f"{OFFICIAL} {self.official_version or '(unknown version)'} in {self.folder}"

    @property
    def speaks_grpc(self) -> bool:
        """Whether its clients speak gRPC."""
        return self.drive is Drive.PROTOBUF

    @property
    def warning(self) -> str | None:
        """What to tell about an environment that has both in one place; ``None`` when nothing is wrong."""
        if not self.is_ours or self.official_version is None:
            return None
        return (
            f"{OFFICIAL} {self.official_version} is installed beside {OURS}. Both own {PACKAGE}; the one in use, in "
            f"{self.folder}, is that of {OURS}, perhaps with files of the other. {_cure()}"
        )


def _cure() -> str:
    pip = f"{sys.executable} -m pip"
    return (
        f"Take {OFFICIAL} out of requirements.txt and put this right with\n"
        f"  {pip} uninstall --yes {OFFICIAL}\n"
        f"  {pip} install --force-reinstall --no-deps {OURS}\n"
        f"({OURS}, or the path of your copy; needed because the first command removes files of both)."
    )


def use_sdk(choice: SdkChoice = SdkChoice.AUTO) -> Sdk:
    """Choose an SDK, import it as ``azure.durable_functions``, and return what it is.

    Raises:
        ConfigurationError: there is none of the sort, or it cannot be driven; the message says what to do.
    """
    sdk = choose(find_sdks(), choice)
    _import(sdk)
    return sdk


def find_sdks(path: Sequence[str] | None = None) -> list[Sdk]:
    """Return the SDKs of an environment, the one that an import would find first.

    Args:
        path: folders to look through, in order; by default those of ``sys.path``.
    """
    folders = list(dict.fromkeys(sys.path if path is None else path))
    return [sdk for folder in folders if (sdk := _sdk_in(folder)) is not None]


def choose(found: Sequence[Sdk], choice: SdkChoice, *, python: tuple[int, ...] = sys.version_info[:2]) -> Sdk:
    """Return the SDK to use.

    Args:
        found: those of the environment, in order.
        choice: which one is wanted.
        python: version of the Python that is to run it.

    Raises:
        ConfigurationError: there is none of the sort, or it cannot be driven.
    """
    wanted = {
        SdkChoice.AUTO: (True, False),
        SdkChoice.OWN: (True,),
        SdkChoice.OWN_JSON: (True,),
        SdkChoice.OFFICIAL: (False,),
    }[choice]
    sdk = next((each for each in found if each.is_ours in wanted), None)
    if sdk is None:
        raise ConfigurationError(_missing(found, choice))
    if sdk.is_ours:
        return Sdk(
            sdk.folder, True, sdk.official_version, drive=Drive.JSON if choice is SdkChoice.OWN_JSON else Drive.LIVE
        )
    drive = _drive_of(sdk, python)
    if sdk.lacks is not None:
        raise ConfigurationError(
            f"{sdk} is not whole: {sdk.lacks} is not as it was installed. Both {OFFICIAL} and {OURS} own {PACKAGE}, "
            f"and in one environment there is room for one. To run on the official SDK:\n"
            f"  {sys.executable} -m pip install --force-reinstall --no-deps {OFFICIAL}=={sdk.official_version}\n"
            f"To run on ours: {_cure()}"
        )
    return Sdk(sdk.folder, False, sdk.official_version, drive=drive)


def _drive_of(sdk: Sdk, python: tuple[int, ...]) -> Drive:
    """Return how an official SDK is driven.

    Raises:
        ConfigurationError: nobody knows how, or not on this Python.
    """
    if sdk.official_version is None:
        return Drive.JSON
    drive = _DRIVES.get(sdk.official_version.partition(".")[0])
    if drive is None:
        raise ConfigurationError(
            f"{sdk} is of a release that this host does not know how to drive. Install "
            f"{OFFICIAL}<3, or run the app on the SDK of {OURS}: taskhub start --sdk own."
        )
    if drive is Drive.PROTOBUF and python < _PROTOBUF_PYTHON:
        needed, is_there = (".".join(map(str, each)) for each in (_PROTOBUF_PYTHON, python))
        raise ConfigurationError(
            f"{sdk} needs Python {needed}, and this host runs on {is_there}. Install the host in an environment of "
            f"Python {needed} or newer: python{needed} -m pip install {OURS}. Or run the app on the SDK of {OURS}: "
            "taskhub start --sdk own."
        )
    return drive


def _not_imported(sdk: Sdk, error: ImportError) -> str:
    wanted = OURS if sdk.is_ours else f"{OFFICIAL}=={sdk.official_version}" if sdk.official_version else OFFICIAL
    return (
        f"{sdk} cannot be imported: {error}. Something that it depends on is missing or of another release; install it "
        f"anew, with all of that: {sys.executable} -m pip install --upgrade {wanted}"
    )


def _missing(found: Sequence[Sdk], choice: SdkChoice) -> str:
    there = "; ".join(str(each) for each in found)
    if choice is SdkChoice.OFFICIAL:
        return (
            f"{OFFICIAL} is asked for (--sdk official), but this environment has {there or 'no Durable Functions SDK'}."
            f" Install it where the app's packages are: pip install {OFFICIAL}."
        )
    if not found:
        return f"{PACKAGE} cannot be found. Install it: {sys.executable} -m pip install {OURS}."
    return (
        f"The SDK of {OURS} is asked for (--sdk own), but this environment has {there}, which lies where ours should "
        f"be. {_cure()}"
    )


def _sdk_in(folder: str) -> Sdk | None:
    # "azure" is a namespace, spread over folders. No import, so that no hook and no package can get in the way.
    package = PathFinder.find_spec(PACKAGE, [str(Path(folder, _NAMESPACE))])
    if package is None or package.origin is None:
        return None
    init = Path(package.origin)
    official = next(iter(metadata.distributions(name=OFFICIAL, path=[folder])), None)
    is_ours = (init.parent / "replay.py").is_file() and not (official is not None and _has_written(official, init))
    if official is None:
        return Sdk(init.parent, is_ours)
    return Sdk(init.parent, is_ours, official.version, None if is_ours else _lacks(official))


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A file as a distribution installed it."""

    name: str
    """With slashes, below the folder of packages."""
    file: Path
    digest: str
    """``sha256=…``; empty where none is kept."""
    size: int | None


def _recorded(distribution: metadata.Distribution) -> Iterator[_Recorded]:
    """Yield what RECORD says; ``Distribution.files`` leaves out what is not there, on Python 3.12 and newer."""
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if len(row) == 3:
            name, digest, size = row
            yield _Recorded(
                name, Path(str(distribution.locate_file(name))), digest, int(size) if size.isdigit() else None
            )


def _has_written(distribution: metadata.Distribution, file: Path) -> bool:
    """Return whether a file is as the distribution installed it, by the hash in its RECORD."""
    for entry in _recorded(distribution):
        if entry.digest and entry.file == file:
            kind, _, wanted = entry.digest.partition("=")
            digest = hashlib.new(kind, file.read_bytes()).digest()
            return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == wanted
    return False


def _lacks(distribution: metadata.Distribution) -> str | None:
    """Return a module of a distribution that is not there, or not of its size; ``None`` when all are."""
    prefix = PACKAGE.replace(".", "/") + "/"
    for entry in _recorded(distribution):
        is_module = entry.name.startswith(prefix) and entry.name.endswith(".py")
        if is_module and not (entry.file.is_file() and entry.size in (None, entry.file.stat().st_size)):
            return str(entry.file)
    return None


def _import(sdk: Sdk) -> None:
    """Import an SDK, wherever it stands in ``sys.path``."""
    loaded = sys.modules.get(PACKAGE)
    if loaded is not None:
        if loaded.__file__ is None or Path(loaded.__file__).parent != sdk.folder:
            raise ConfigurationError(f"{PACKAGE} was imported from {loaded.__file__} before {sdk} was chosen.")
        return
    spec = importlib.util.spec_from_file_location(
        PACKAGE, sdk.folder / "__init__.py", submodule_search_locations=[str(sdk.folder)]
    )
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{sdk} cannot be imported.")
    namespace = importlib.import_module(_NAMESPACE)
    module = sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    setattr(namespace, _NAME, module)
    # The official one reads host.json of the current directory, and more strictly than the host does.
    current = Path.cwd()
    os.chdir(sdk.folder)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[PACKAGE]
        raise ConfigurationError(_not_imported(sdk, error)) from error
    except BaseException:
        del sys.modules[PACKAGE]
        raise
    finally:
        os.chdir(current)
