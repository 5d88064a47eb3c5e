"""Imports a function app and finds its functions, in both programming models.

Order of things, as in the original worker: the app's vendored packages go to the front of ``sys.path`` and its root to
the *end* (a folder named like an installed package must not hide it), the current directory becomes the root, then user
code is imported. Everything that can go wrong in user code ends as a text for its author; nothing is raised for it.

v2: one module (``function_app.py``) with one app object, whose ``get_functions()`` can be called only once.
v1: a folder with ``function.json`` for each function; modules are imported as ``__app__.<Folder>``, because values of
custom classes carry that module name in stored histories.

Source: Azure Functions Python worker, loader; Functions host, function.json.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host.bindings import BindingError, check_function_name, read_bindings
from taskhub.host.failures import describe_failure
from taskhub.host.functions import App, Function, FunctionError
from taskhub.host.json_files import read_json_object
from taskhub.host.retry_policies import read_retry_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from azure.functions import FunctionRegister

    from taskhub.host.configuration import HostConfiguration

_SCRIPT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]*\.py")
_REQUIREMENTS = "Install what the app needs into this environment: python -m pip install -r requirements.txt"


def enter_app(root: Path) -> None:
    """Make the process ready to import the app: paths and current directory. Once per process."""
    vendored = root / ".python_packages" / "lib" / "site-packages"
    if vendored.is_dir() and str(vendored) not in sys.path:
        sys.path.insert(0, str(vendored))
    if str(root) not in sys.path:
        sys.path.append(str(root))
    os.chdir(root)


def load_app(configuration: HostConfiguration) -> App:
    """Import the app in ``configuration.app_root``, after :func:`enter_app`, and return its functions."""
    root = configuration.app_root
    script = configuration.settings.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    if not _SCRIPT_NAME.fullmatch(script):
        return App(failure=f"Invalid file name: {script}. PYTHON_SCRIPT_FILE_NAME must be the name of a .py file.")
    folders = [path.parent for path in sorted(root.glob("*/function.json"))]
    found: App | None = None
    if (root / script).is_file():
        found = _load_v2(root, script, configuration)
        if not found.functions and not found.errors and found.failure is None:
            found = None
    if found is None:
        return _load_v1(root, folders, configuration)
    if not folders:
        return found
    names = ", ".join(folder.name for folder in folders)
    warning = f"Detected mixed function app. Some functions may not be indexed - {names}"
    return App(found.functions, found.errors, found.failure, (*found.warnings, warning))


def app_of(app: FunctionRegister, configuration: HostConfiguration) -> App:
    """Return the functions of an app object that is at hand. Once for each: the library gives them out only once."""
    try:
        indexed = _functions_of(app)
    except _IndexError as error:
        return App(failure=str(error))
    return _collect(_v2_functions(indexed, configuration.app_root), configuration)


# ---- v2


def _load_v2(root: Path, script: str, configuration: HostConfiguration) -> App:
    try:
        indexed = _index_v2(script)
    except _IndexError as error:
        return App(failure=f"{script}: {error}")
    except Exception as error:  # user code runs on import, so anything can come out of it
        return App(failure=_import_failure(f"{script} could not be loaded", error))
    return _collect(_v2_functions(indexed, root), configuration)


class _IndexError(Exception):
    """The script has no app object, or several."""


def _index_v2(script: str) -> list[Any]:
    import azure.functions as func

    module = importlib.import_module(script.removesuffix(".py"))
    apps = {
        id(value): (name, value) for name, value in vars(module).items() if isinstance(value, func.FunctionRegister)
    }
    if not apps:
        raise _IndexError(
            "Could not find top level function app instances. "
            "Define one, as: app = func.FunctionApp() or app = df.DFApp()."
        )
    if len(apps) > 1:
        names = ", ".join(name for name, _ in apps.values())
        raise _IndexError(
            f"More than one top level function app instance is defined ({names}). "
            "Keep one of them and register the functions of the others with blueprints: app.register_functions(bp)."
        )
    ((_, app),) = apps.values()
    return _functions_of(app)


def _functions_of(app: FunctionRegister) -> list[Any]:
    with _without_auth_level_warning():
        try:
            functions: list[Any] = app.get_functions()
        except ValueError as error:  # a function without trigger, a name twice: the library's text names it
            raise _IndexError(str(error)) from error
    return functions


def _v2_functions(indexed: list[Any], root: Path) -> Iterator[tuple[str, Callable[[], Function]]]:
    for item in indexed:
        name = str(item.get_function_name())
        yield name, functools.partial(_v2_function, item, name, root)


def _v2_function(item: Any, name: str, root: Path) -> Function:
    check_function_name(name)
    call = item.get_user_function()
    bindings = read_bindings([json.loads(text) for text in item.get_raw_bindings()])
    retry = read_retry_policy(item.get_settings_dict("retry_policy"))
    return Function(name, call, bindings, _directory_of(call, root), retry=retry)


def _directory_of(call: Callable[..., Any], root: Path) -> Path:
    try:
        return Path(inspect.getfile(inspect.unwrap(call))).parent
    except TypeError:
        return root


@contextlib.contextmanager
def _without_auth_level_warning() -> Iterator[None]:
    """Keep the library's remark about apps without HTTP functions off the console; it helps nobody."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Auth level is not applied")

    logging.getLogger().addFilter(is_wanted)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(is_wanted)


# ---- v1


def _load_v1(root: Path, folders: list[Path], configuration: HostConfiguration) -> App:
    _install_namespace(root)
    return _collect(_v1_functions(root, folders, configuration.settings), configuration)


def _v1_functions(
    root: Path, folders: list[Path], settings: Mapping[str, str]
) -> Iterator[tuple[str, Callable[[], Function]]]:
    for folder in folders:
        yield folder.name, functools.partial(_load_folder, root, folder, settings)


def _install_namespace(root: Path) -> None:
    spec = importlib.machinery.ModuleSpec("__app__", None, is_package=True)
    spec.submodule_search_locations = [str(root)]
    sys.modules["__app__"] = importlib.util.module_from_spec(spec)


def _load_folder(root: Path, folder: Path, settings: Mapping[str, str]) -> Function:
    check_function_name(folder.name)
    document, _ = read_json_object(folder / "function.json")
    keys = {key.lower(): value for key, value in document.items()}
    items = keys.get("bindings")
    bindings = read_bindings(items if isinstance(items, list) else [])
    script = _script_of(root, folder, keys.get("scriptfile"))
    entry_point = keys.get("entrypoint") or "main"
    call = getattr(_import_script(root, script), entry_point, None)
    if not callable(call):
        raise BindingError(
            f"{script.relative_to(root)} has no function '{entry_point}'. Define it, or name another one as entryPoint "
            "in function.json."
        )
    retry = keys.get("retry")
    return Function(
        folder.name,
        call,
        bindings,
        folder,
        is_disabled=_is_switched_off(keys.get("disabled"), settings),
        retry=read_retry_policy(retry if isinstance(retry, dict) else None),
    )


def _script_of(root: Path, folder: Path, named: object) -> Path:
    if named:
        script = Path(os.path.normpath(folder / str(named)))
    else:
        others = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != "function.json"]
        if len(others) > 1:
            others = [path for path in others if path.stem.lower() == "run" or path.name.lower() == "__init__.py"]
        if len(others) != 1:
            raise BindingError(
                f"Cannot tell which file of {folder.name} holds the function. Set scriptFile in function.json."
            )
        script = others[0]
    if root not in script.parents:
        raise BindingError(f"scriptFile '{named}' lies outside of the app's folder.")
    if script.suffix.lower() != ".py":
        raise BindingError(f"scriptFile '{script.name}' is not a Python file (.py).")
    if not script.is_file():
        raise BindingError(f"scriptFile '{script.relative_to(root)}' does not exist.")
    return script


def _import_script(root: Path, script: Path) -> Any:
    relative = script.relative_to(root)
    parts = ["__app__", *relative.parts[:-1]]
    if relative.stem.lower() != "__init__":
        parts.append(relative.stem)
    return importlib.import_module(".".join(parts))


# ---- both


def _collect(candidates: Iterator[tuple[str, Callable[[], Function]]], configuration: HostConfiguration) -> App:
    functions: list[Function] = []
    errors: list[FunctionError] = []
    names: set[str] = set()
    for name, build in candidates:
        if configuration.functions is not None and name.lower() not in configuration.functions:
            continue
        if name.lower() in names:
            errors.append(
                FunctionError(name, f"The function name '{name}' must be unique within the app, ignoring case.")
            )
            continue
        names.add(name.lower())
        try:
            function = build()
        except (BindingError, ConfigurationError) as error:
            errors.append(FunctionError(name, str(error)))
        except Exception as error:  # importing a folder runs user code
            errors.append(FunctionError(name, _import_failure("its script could not be loaded", error)))
        else:
            functions.append(_switched(function, configuration.settings))
    functions.sort(key=lambda function: function.name.lower())
    return App(tuple(functions), tuple(errors))


def _switched(function: Function, settings: Mapping[str, str]) -> Function:
    name = function.name
    if function.is_disabled or any(
        _is_true(settings.get(key)) for key in (f"AzureWebJobs.{name}.Disabled", f"AzureWebJobs_{name}_Disabled")
    ):
        return dataclasses.replace(function, is_disabled=True)
    return function


def _is_switched_off(disabled: object, settings: Mapping[str, str]) -> bool:
    if isinstance(disabled, str):
        return _is_true(settings.get(disabled))
    return disabled is True


def _is_true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("true", "1")


def _import_failure(what: str, error: Exception) -> str:
    message, stack = describe_failure(error)
    text = f"{what}: {message}"
    if isinstance(error, SyntaxError):
        text = f"{what}: {message}. Correct line {error.lineno} of {error.filename}."
    elif stack:
        text = f"{text}\n{stack.rstrip()}"
    return f"{text}\n{_REQUIREMENTS}" if isinstance(error, ImportError) else text
