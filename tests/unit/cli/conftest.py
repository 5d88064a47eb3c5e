"""A hub in a file, and the command run on it in this process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from taskhub.cli.__main__ import application
from taskhub.storage.sqlite import open_sqlite
from tests.support.real_hub import RealHub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

HUB = "CliHub"


class Broken:
    """An activity that fails until it is mended."""

    is_mended = False

    def work(self, value: Any) -> Any:
        if not self.is_mended:
            raise ValueError("not yet")
        return value


def quick(context):
    return context.get_input()
    yield


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def flaky(context):
    return (yield context.call_activity("work", 1))


CODE = {"quick": quick, "waiting": waiting, "flaky": flaky}


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Runs commands on one hub, and a worker beside them when asked."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "hub.db"
        self.folder = folder
        self.broken = Broken()
        self._where = ["--storage", f"embedded:{self.store}", "--hub", HUB, "--app", str(folder)]

    def __call__(self, *arguments: str, given: str | None = None, store: Path | None = None, hub: str = HUB) -> Ran:
        where = ["--storage", f"embedded:{store or self.store}", "--hub", hub, "--app", str(self.folder)]
        return self.bare(*arguments, *where, given=given)

    def bare(self, *arguments: str, given: str | None = None) -> Ran:
        """Run a command that is told itself where the hub is."""
        result = CliRunner().invoke(application(arguments[0]), arguments, input=given, catch_exceptions=False)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def on_hub(self, act: Callable[[RealHub], Awaitable[Any]], *, store: Path | None = None) -> Any:
        """Do something on the hub while a worker works on it."""

        async def main() -> Any:
            storage = await open_sqlite(store or self.store)
            hub = RealHub(storage, CODE, {"work": self.broken.work}, name=HUB)
            try:
                async with hub.working():
                    return await act(hub)
            finally:
                await storage.aclose()

        return asyncio.run(main())


@pytest.fixture
def taskhub(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)
