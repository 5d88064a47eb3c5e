"""Apps for a simulated world: out of a folder, as the host loads it, or an app object that a test has at hand."""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azure.functions as func
from azure.functions.meta import Datum

from taskhub.errors import ConfigurationError
from taskhub.host.app_loader import app_of, enter_app, load_app
from taskhub.host.configuration import HostConfiguration, load_configuration
from taskhub.host.durable_options import read_durable_options
from taskhub.host.loading import LoadedApp, plan_app

if TYPE_CHECKING:
    from types import ModuleType

    from azure.functions import FunctionRegister


@dataclass(eq=False)
class OpenApp:
    """An app, ready to run in this process."""

    configuration: HostConfiguration
    loaded: LoadedApp
    modules: dict[str, ModuleType] = field(default_factory=dict)
    """Its own, by name: apps have modules of the same names, ``function_app`` above all."""


_folders: dict[Path, OpenApp] = {}
_objects: weakref.WeakKeyDictionary[Any, OpenApp] = weakref.WeakKeyDictionary()


class AppFolder:
    """A folder with an app, entered for a test and left after it.

    Within it the current directory, ``sys.path``, the environment and the names of modules are as the host sets them
    for the app. An app is imported once in a process.
    """

    def __init__(self, root: Path) -> None:
        """Remember where it is."""
        self._root = root
        self._before: tuple[str, list[str], dict[str, str], dict[str, ModuleType]] | None = None

    def __repr__(self) -> str:
        return f"<AppFolder {self._root}, {'left' if self._before is None else 'entered'}>"

    def enter(self) -> OpenApp:
        """Load the app.

        Raises:
            ConfigurationError: the folder holds no app that can be loaded; says why.
        """
        self._before = os.getcwd(), list(sys.path), dict(os.environ), dict(sys.modules)
        try:
            return self._enter()
        except BaseException:
            self.leave()
            raise

    def _enter(self) -> OpenApp:
        _let_the_library_advise()
        configuration = load_configuration(self._root, os.environ)
        os.environ.update(configuration.added_settings)
        for other in _folders.values():
            if other.configuration.app_root != self._root:
                for name in other.modules:
                    sys.modules.pop(name, None)
        known = _folders.get(self._root)
        if known is not None:
            sys.modules.update(known.modules)
            enter_app(self._root)
            return known
        _forget_others(configuration)
        enter_app(self._root)
        loaded = _checked(plan_app(_without_failure(load_app(configuration), self._root), configuration), self._root)
        opened = _folders[self._root] = OpenApp(configuration, loaded)
        opened.modules = _modules_below(self._root)
        return opened

    def leave(self) -> None:
        """Put everything back as it was."""
        if self._before is None:
            return
        folder, path, environment, modules = self._before
        own = _modules_below(self._root)
        known = _folders.get(self._root)
        if known is not None:
            known.modules = own
        for name in own:
            if name not in modules:
                del sys.modules[name]
        for name, module in modules.items():
            if sys.modules.get(name) is not module and (name not in sys.modules or name in own):
                sys.modules[name] = module
        self._before = None
        os.chdir(folder)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environment)


def open_app(app: FunctionRegister) -> OpenApp:
    """Return an app object ready to run.

    Raises:
        ConfigurationError: none of its functions can be called.
    """
    _let_the_library_advise()
    known = _objects.get(app)
    if known is None:
        configuration = HostConfiguration(
            app_root=Path.cwd(), settings=dict(os.environ), added_settings={}, durable=read_durable_options({}, {})
        )
        found = _without_failure(app_of(app, configuration), None)
        known = _objects[app] = OpenApp(configuration, _checked(plan_app(found, configuration), None))
    return known


def _let_the_library_advise() -> None:
    """Have ``azure.functions`` give its advice to workers about types now; it gives it once in a process.

    As a warning in the middle of an activity it would fail tests for which warnings are errors.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = func.get_binding_registry().get("activityTrigger")  # type: ignore[no-untyped-call]  # the library's
        converter.decode(Datum("null", "json"), trigger_metadata={})


def _without_failure(app: Any, root: Path | None) -> Any:
    if app.failure is not None:
        raise ConfigurationError(f"the app{_in(root)} cannot be loaded: {app.failure}")
    return app


def _checked(loaded: LoadedApp, root: Path | None) -> LoadedApp:
    if not loaded.plans:
        text = f"the app{_in(root)} has no functions that can run."
        advice = "Define them in function_app.py, or in folders with a function.json."
        raise ConfigurationError(" ".join([text, *(loaded.errors or [advice])]))
    return loaded


def _in(root: Path | None) -> str:
    return "" if root is None else f" in {root}"


def _forget_others(configuration: HostConfiguration) -> None:
    """Forget modules of another app under the names that this one's have."""
    root = configuration.app_root
    script = configuration.settings.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    name = script.removesuffix(".py")
    found = sys.modules.get(name)
    file = getattr(found, "__file__", None)
    # Without a file: what pytest puts there for the folder of a test, if that has the name of the script.
    if found is not None and (file is None or Path(file).resolve() != (root / script).resolve()):
        del sys.modules[name]


def _modules_below(root: Path) -> dict[str, ModuleType]:
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name == "__app__" or (file is not None and _is_own(Path(file), root)):
            found[name] = module
    return found


def _is_own(file: Path, root: Path) -> bool:
    return root in file.parents and "site-packages" not in file.parts
