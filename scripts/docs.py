"""Builds the API reference: one page for each public module, from the docstrings, with the source of everything."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import types
import warnings
from importlib import metadata, util
from pathlib import Path

import pdoc
import pdoc.render

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / ".cache/docs"
SDK = "azure.durable_functions"
OPTIONAL = (f"{SDK}.openai_agents",) if util.find_spec("agents") else ()
MODULES = (SDK, f"{SDK}.errors", f"{SDK}.testing", f"{SDK}.replay", *OPTIONAL, "taskhub")


def main() -> None:
    """Build everything, then put it in the place of what was built before."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    modules = [importlib.import_module(name) for name in MODULES]
    for module in modules:
        for name in module.__all__:
            value = getattr(module, name)  # loads what is loaded on first use, for pdoc to find
            if isinstance(value, type):
                adopt_private_bases(value)
    pdoc.render.configure(docformat="google", footer_text=f"durable-taskhub {metadata.version('durable-taskhub')}")
    warnings.simplefilter("error")  # a name that cannot be documented
    with tempfile.TemporaryDirectory() as folder:
        pdoc.pdoc(*MODULES, output_directory=Path(folder))
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(folder, output)
    print(f"The API reference is in {output}/index.html")


def adopt_private_bases(cls: type) -> None:
    """Show the methods that a public class has from our private ones as its own; there is no page to find them on."""
    for base in cls.__mro__[1:]:
        if is_ours(base) and not is_public(base):
            for name, member in vars(base).items():
                documented = isinstance(member, (types.FunctionType, classmethod, staticmethod, property))
                if documented and not name.startswith("_") and name not in vars(cls):
                    setattr(cls, name, member)


def is_ours(cls: type) -> bool:
    """Return whether a class is of one of our packages."""
    return cls.__module__.startswith((SDK, "taskhub"))


def is_public(cls: type) -> bool:
    """Return whether a class has a place in the reference."""
    return any(getattr(sys.modules[name], cls.__name__, None) is cls for name in MODULES)


if __name__ == "__main__":
    main()
