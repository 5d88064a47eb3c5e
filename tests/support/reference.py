"""The official SDK in an environment of its own, which is made where there is none; and asked over pipes."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
_NO_PYTHON = 3
"""Status of the script where there is no Python that is new enough."""
ENVIRONMENT = ROOT / ".venv-reference"
PYTHON = ENVIRONMENT / "bin" / "python"
"""Made by ``scripts/reference-env``, or :func:`environment`."""
WITHOUT_AGENTS = {"PYTHONPATH": str(Path(__file__).with_name("without_agents"))}
"""Variable of processes that take packages of ours, too, where the official package is to find no agents."""


@functools.cache
def environment() -> Path:
    """Return the virtual environment with the official package, installing it unless that was done before.

    Safe when several processes do it at once.
    """
    done = _made("reference-env", "reference.lock")
    if done.returncode != 0:
        raise RuntimeError(f"scripts/reference-env failed (is the package index reachable?):\n{done.stdout}")
    return ENVIRONMENT


@functools.cache
def environment_2x() -> Path:
    """Return the virtual environment with the official package 2.x and this host; skips where no Python runs it.

    Safe when several processes do it at once.
    """
    done = _made("reference-env-2x", "reference-2x.lock")
    if done.returncode == _NO_PYTHON:
        pytest.skip(f"azure-functions-durable 2.x needs Python 3.13: {done.stdout.strip()}")
    if done.returncode != 0:
        raise RuntimeError(f"scripts/reference-env-2x failed (is the package index reachable?):\n{done.stdout}")
    return ROOT / ".venv-reference-2x"


def _made(script: str, lock_name: str) -> subprocess.CompletedProcess[str]:
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with open(cache / lock_name, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.run(
            ["bash", str(ROOT / "scripts" / script)],
            env={**os.environ, "PYTHON": sys.executable},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


class Reference:
    """A process that answers triggers with the official package. Use it in a ``with``."""

    def __init__(self) -> None:
        # Isolated, so that neither our package nor our modules beside the script are found.
        self._process = subprocess.Popen(
            [PYTHON, "-I", Path(__file__).with_name("answers.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._to = cast("IO[str]", self._process.stdin)
        self._back = cast("IO[str]", self._process.stdout)

    def ask(self, source: str, triggers: list[str], *, strict: bool = False) -> None:
        """Let it answer, while others do something else; see ``answers.py``. Each question is followed by ``told``."""
        self._to.write(json.dumps({"source": source, "triggers": triggers, "strict": strict}) + "\n")
        self._to.flush()

    def told(self) -> list[dict[str, Any]]:
        """Return what the official package answers.

        Raises:
            RuntimeError: the process is gone.
        """
        line = self._back.readline()
        if not line:
            raise RuntimeError(f"The reference ended with status {self._process.wait()}; see what it wrote above.")
        found: list[dict[str, Any]] = json.loads(line)["answers"]
        return found

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
