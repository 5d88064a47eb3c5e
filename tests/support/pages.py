"""Code and texts out of a page of the documentation."""

from __future__ import annotations

import ast
import linecache
import re
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef

NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
"""A test as a page names it: its file and its function."""

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of one language, those in lists too."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(code) for _, name, code in found if name == language]


def run_page(page: Path, folder: Path) -> dict[str, Any]:
    """Run the Python of a page from top to bottom, each block as a ``function_app.py`` of its own; return its names.

    Args:
        page: the page.
        folder: where the files go, so that tracebacks find their lines.
    """
    names: dict[str, Any] = {"__name__": "function_app"}
    for number, code in enumerate(blocks(page, "python")):
        file = folder / str(number) / "function_app.py"
        file.parent.mkdir()
        file.write_text(code, encoding="utf-8")
        linecache.checkcache(str(file))
        exec(compile(code, str(file), "exec", dont_inherit=True), names)
    return names


def table_rows(page: Path) -> list[list[str]]:
    """Return the cells of every row of every table of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    rows = [line.strip().strip("|").split(" | ") for line in lines if line.startswith("|")]
    return [[cell.strip().removesuffix(" |").strip() for cell in row] for row in rows if not set(row[0]) <= set("-| ")]


@cache
def functions_of(path: Path) -> tuple[dict[str, Function], str]:
    """Return the test functions of a file by name, and its text."""
    text = path.read_text(encoding="utf-8")
    found = {
        node.name: node
        for node in ast.parse(text).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }
    return found, text
