"""Indexes apps as the original worker does, with whatever SDK this Python has: ``python index_apps.py FOLDER…``.

Prints one JSON object: folder to functions, each with its bindings. A process for each app, as they share module names.
Uses nothing of this project, so that the official package's environment can run it.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import warnings
from pathlib import Path

# Before any app: the official package reads host.json of the current directory, and one sample's has two documents.
import azure.durable_functions  # noqa: F401
import azure.functions as func


def index(root: Path) -> dict[str, list[dict[str, object]]]:
    """Import the app and return its functions' bindings."""
    sys.path.append(str(root))
    os.chdir(root)
    return _v2() if Path("function_app.py").is_file() else _v1(root)


def _v2() -> dict[str, list[dict[str, object]]]:
    module = importlib.import_module("function_app")
    (app,) = (value for value in vars(module).values() if isinstance(value, func.FunctionRegister))
    return {
        str(function.get_function_name()): sorted(map(json.loads, function.get_raw_bindings()), key=str)
        for function in app.get_functions()
    }


def _v1(root: Path) -> dict[str, list[dict[str, object]]]:
    spec = importlib.machinery.ModuleSpec("__app__", None, is_package=True)
    spec.submodule_search_locations = [str(root)]
    sys.modules["__app__"] = importlib.util.module_from_spec(spec)
    found = {}
    for path in sorted(root.glob("*/function.json")):
        main = importlib.import_module(f"__app__.{path.parent.name}").main
        assert callable(main), path
        found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))["bindings"]
    return found


def _index_apart(root: Path) -> object:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        try:
            answer: object = index(root)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "w") as stream:
            json.dump(answer, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = json.load(stream)
    os.wait()
    return answer


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({folder: _index_apart(Path(folder).resolve()) for folder in sys.argv[1:]}))
