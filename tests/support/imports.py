"""Reads the imports of a source tree and holds them against a table of what may import what."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    name: str
    imports: frozenset[str]
    """Dotted names as far as they are modules: ours as written, others whole (``azure.storage.queue``)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table; for a module the first row that matches counts."""

    name: str
    modules: tuple[str, ...]
    """Modules and packages whose files this row is about."""
    may: tuple[str, ...]
    """What they may import besides the standard library; a package stands for all that is in it."""


def is_within(name: str, package: str) -> bool:
    """Say whether a dotted name is ``package`` or lies in it."""
    return name == package or name.startswith(package + ".")


def read_modules(root: Path, package: str) -> Iterator[Module]:
    """Read every module of ``package`` below ``root``, which is the folder that would be on ``sys.path``.

    Imports for type checkers and inside functions count like all others.
    """
    files = {_module_name(path.relative_to(root)): path for path in sorted((root / package).rglob("*.py"))}
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        base = name if path.name == "__init__.py" else name.rpartition(".")[0]
        yield Module(name, frozenset(_imports(tree, base, files)) - {name})


def violations(modules: Iterable[Module], table: Sequence[Row]) -> list[str]:
    """Return a line for every import that the table does not allow."""
    found = []
    for module in modules:
        row = next((row for row in table if any(is_within(module.name, each) for each in row.modules)), None)
        if row is None:
            found.append(f"{module.name} is in no row of the table")
            continue
        found += [
            f"{module.name} imports {target}: row '{row.name}' allows {', '.join(row.may) or 'the standard library'}"
            for target in sorted(module.imports)
            if not _is_standard(target) and not any(is_within(target, each) for each in row.may)
        ]
    return found


def cycles(modules: Iterable[Module]) -> list[str]:
    """Return one line for each group of modules that import each other, in a circle."""
    graph = {module.name: module.imports for module in modules}
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {
        frozenset(other for other in reach[name] if name in reach.get(other, ()))
        for name in graph
        if name in reach[name]
    }
    return sorted(" <-> ".join(sorted(group)) for group in groups)


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def _imports(tree: ast.AST, base: str, ours: Mapping[str, object]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = base.split(".")[: len(base.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*parent, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from package import name` means the submodule if there is one. Of others' packages nobody knows
                # without importing them, and `from azure import storage` must not pass as `azure`.
                is_module = f"{source}.{alias.name}" in ours or source == "azure"
                yield f"{source}.{alias.name}" if is_module else source


def _reachable(graph: Mapping[str, frozenset[str]], start: str) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for target in graph.get(ahead.pop(), frozenset()):
            if target not in seen:
                seen.add(target)
                ahead.append(target)
    return seen
