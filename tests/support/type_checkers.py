"""Runs mypy and pyright over programs of users, and reads what programs expect of them.

A line that must be refused says by whom and why: ``# mypy: arg-type; pyright: ArgumentType``, with ``-`` for one that
has no complaint. pyright's rules are written without their ``report``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import npm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

OLDEST_PYTHON = "3.10"
_EXPECTED = re.compile(r"# mypy: (?P<mypy>[\w, -]+); pyright: (?P<pyright>[\w, -]+)$")
_MYPY_ERROR = re.compile(r"(?P<file>.+?):(?P<line>\d+): error: .*\[(?P<rule>[\w-]+)\]$")


@dataclass(frozen=True, order=True)
class Complaint:
    """What a type checker says of a line."""

    file: Path
    line: int
    rule: str


def mypy(files: Iterable[Path], *, cache: Path) -> set[Complaint]:
    """Return what mypy says of files in strict mode."""
    options = ["--strict", "--config-file=", f"--python-version={OLDEST_PYTHON}", f"--cache-dir={cache}"]
    done = _run([sys.executable, "-m", "mypy", *options, *map(str, files)], cwd=cache.parent)
    # 0 and 1 are answers, anything else is a crash or a wrong option.
    if done.returncode not in (0, 1):
        raise RuntimeError(f"mypy failed with status {done.returncode}:\n{done.stdout}{done.stderr}")
    found = set()
    for line in done.stdout.splitlines():
        if ": error: " in line:
            match = _MYPY_ERROR.fullmatch(line)
            if match is None:
                raise RuntimeError(f"mypy says something that cannot be read: {line}")
            found.add(Complaint((cache.parent / match["file"]).resolve(), int(match["line"]), match["rule"]))
    return found


def pyright(folder: Path, *, strict: Sequence[Path], basic: Sequence[Path]) -> set[Complaint]:
    """Return what pyright says of programs.

    Args:
        folder: where its configuration is written to.
        strict: folders that are looked at in strict mode.
        basic: apps that are looked at in basic mode, each a root for its imports.
    """
    configuration = {
        "pythonVersion": OLDEST_PYTHON,
        "typeCheckingMode": "basic",
        "include": _relative([*strict, *basic], folder),
        "strict": _relative(strict, folder),
        "executionEnvironments": [{"root": root} for root in _relative(basic, folder)],
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    answer = _pyright("--project", str(folder))
    return {
        Complaint(
            Path(each["file"]).resolve(),
            each["range"]["start"]["line"] + 1,
            each.get("rule", "syntax").removeprefix("report"),
        )
        for each in answer["generalDiagnostics"]
        if each["severity"] == "error"
    }


def completeness(package: str, folder: Path) -> dict[str, Any]:
    """Return what pyright says of the types of a package's public names, symbol by symbol.

    Args:
        package: a package with ``py.typed``.
        folder: where it is; searched before all others.
    """
    answer = _pyright("--verifytypes", package, "--ignoreexternal", PYTHONPATH=str(folder))
    found: dict[str, Any] = answer["typeCompleteness"]
    return found


def expected(files: Iterable[Path], checker: str) -> set[Complaint]:
    """Return the complaints that comments in files ask for."""
    return {
        Complaint(file.resolve(), number, rule)
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        for rule in _rules(line, checker)
    }


def _rules(line: str, checker: str) -> Iterator[str]:
    match = _EXPECTED.search(line)
    if match is not None:
        yield from (rule for rule in match[checker].split(", ") if rule != "-")


def _relative(folders: Sequence[Path], start: Path) -> list[str]:
    """Return paths as pyright takes them: it ignores absolute ones."""
    return [relpath(folder, start) for folder in folders]


def _pyright(*options: str, **environment: str) -> dict[str, Any]:
    program = npm.install() / "node_modules/pyright/index.js"
    done = _run(
        [str(npm.node()), str(program), "--outputjson", "--pythonpath", sys.executable, *options], env=environment
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise RuntimeError(f"pyright failed with status {done.returncode}:\n{done.stdout}{done.stderr}") from error
    return answer


def _run(
    command: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
