"""The official SDK in an interpreter of its own, asked over pipes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-reference" / "bin" / "python"
"""Made by ``scripts/reference-env``."""


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
