"""Which lines of the runtime and the core simulated runs reach.

Counted are lines of functions; what runs on import is not. Lines that only people see (``__repr__``) and those that
refuse a caller's mistake (``raise ValueError``) are left out. What no run reaches is explained in
:mod:`tests.simulation.unreached`, or shows that the workload has a hole.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation.runs import on_processes, run_seed
from tests.simulation.unreached import UNREACHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import CodeType, FrameType

ROOT = Path(__file__).parents[2]
PACKAGES = ("taskhub/runtime", "taskhub/core")
SEEDS_PER_TASK = 10

Lines = dict[str, set[int]]
"""By file, relative to the root."""


@dataclass(frozen=True)
class Function:
    """A function, or a method, and its lines that do something."""

    name: str
    """``runtime.mailbox:Mailbox.read``."""
    file: str
    lines: frozenset[int]


def report(seeds: Sequence[int], *, jobs: int, options: dict[str, Any]) -> int:
    """Run seeds and print what they did not reach; return 1 if something of it is not explained."""
    parts = [seeds[start : start + SEEDS_PER_TASK] for start in range(0, len(seeds), SEEDS_PER_TASK)]
    reached: Lines = {}
    for lines in on_processes(_reached_by, [(part, options) for part in parts], jobs=jobs):
        for file, numbers in lines.items():
            reached.setdefault(file, set()).update(numbers)
    functions = list(functions_of(ROOT))
    unexplained = 0
    for function in functions:
        missed = sorted(function.lines - reached.get(function.file, set()))
        if missed:
            why = explanation(function.name)
            unexplained += why is None
            print(f"{function.file}:{_ranges(missed)}  {function.name.partition(':')[2]}: {why or 'NOT EXPLAINED'}")
    count = sum(len(function.lines) for function in functions)
    hit = sum(len(function.lines & reached.get(function.file, set())) for function in functions)
    print(f"{len(seeds)} seeds reached {hit} of {count} lines ({hit / count:.1%}); {unexplained} functions unexplained")
    return 1 if unexplained else 0


def explanation(name: str) -> str | None:
    """Return why lines of a function are not reached, ``None`` when nobody has said it."""
    for known, why in UNREACHED.items():
        if name == known or name.startswith((f"{known}:", f"{known}.")):
            return why
    return None


def functions_of(root: Path) -> Iterator[Function]:
    """Yield all functions that count."""
    for package in PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            source = path.read_text(encoding="utf-8")
            file = str(path.relative_to(root))
            module = file.removeprefix("taskhub/").removesuffix(".py").replace("/", ".")
            starts = _lines_with_code(compile(source, file, "exec", dont_inherit=True))
            for name, node in _definitions(ast.parse(source)):
                lines = frozenset(_counted(node) & starts)
                if lines and not name.endswith("__repr__"):
                    yield Function(f"{module}:{name}", file, lines)


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the outermost functions of a module and its classes; inner ones belong to them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef) and not any("Protocol" in ast.unparse(base) for base in node.bases):
            yield from _definitions(node, f"{prefix}{node.name}.")


def _counted(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """Return the first lines of the statements of a function, but for refusals of a caller's mistake."""
    lines: set[int] = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.stmt) or node is function:
            continue
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = ast.unparse(node.exc)
            if raised.startswith(("ValueError(", "TypeError(", "AssertionError(")):
                continue
        lines.add(node.lineno)
    return lines


def _lines_with_code(code: CodeType) -> set[int]:
    lines = {line for _, _, line in code.co_lines() if line}
    for each in code.co_consts:
        if hasattr(each, "co_lines"):
            lines |= _lines_with_code(each)
    return lines


def _ranges(lines: Iterable[int]) -> str:
    """Return line numbers as ``3-5, 9``."""
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


# ---- tracing


def _reached_by(seeds: Sequence[int], options: Mapping[str, Any]) -> Lines:
    tracer = _Tracer(ROOT)
    sys.settrace(tracer.call)
    try:
        for seed in seeds:
            run_seed(seed, dict(options))
    finally:
        sys.settrace(None)
    return tracer.lines


class _Tracer:
    """Notes lines of the files that count."""

    def __init__(self, root: Path) -> None:
        self.lines: Lines = {}
        self._prefix = f"{root}/"
        self._wanted: dict[CodeType, set[int] | None] = {}

    def call(self, frame: FrameType, event: str, argument: object) -> Any:
        """Begin to trace a function, if its lines count and are not all known."""
        code = frame.f_code
        lines = self._wanted.get(code)
        if lines is None:
            if code in self._wanted:
                return None
            file = code.co_filename.removeprefix(self._prefix)
            is_wanted = file.startswith(PACKAGES)
            lines = self._wanted[code] = self.lines.setdefault(file, set()) if is_wanted else None
            if lines is None:
                return None

        def line(frame: FrameType, event: str, argument: object) -> Any:
            if event == "line":
                lines.add(frame.f_lineno)
            return line

        return line
