"""Modules that lie in no package: those beside the recordings, and programs of users."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def load_module(file: Path, name: str) -> Any:
    """Run a file as a module of this name, and return it.

    It is among ``sys.modules``, where annotations and the classes of payloads are looked up.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
