"""Real host processes for tests: start one on a free port, read its console, stop it or kill it.

    host = start_host(app_dir, storage=f"embedded:{tmp_path / 'hub.db'}")
    requests go to host.url; host.output() is what it wrote; host.kill() is kill -9

Whether a host is up is read from its console, never guessed from the time.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.support import reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 40

LISTENING = re.compile(r"Now listening on: (http://localhost:(\d+))")
READY = re.compile("Host lock lease acquired")
"""The worker owns a partition; apps without durable functions never say it."""


class Host:
    """A host process and what it has written so far."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            # So that Ctrl+C in the terminal of the test run does not reach it.
            start_new_session=True,
        )
        self.url = ""
        self.port = 0
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"<Host {self.process.pid} at {self.url or 'no port'}, {len(self._lines)} lines>"

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                with self._changed:
                    self._lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        self.process.wait()
        with self._changed:
            self._changed.notify_all()

    def output(self) -> str:
        """Return everything written so far."""
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(self, pattern: str | re.Pattern[str], *, seconds: float = START_SECONDS) -> re.Match[str]:
        """Return the first match in the output, waiting for it; fail the test when the host ends or time runs out."""
        compiled = re.compile(pattern)
        found: re.Match[str] | None = None

        def is_over() -> bool:
            nonlocal found
            found = compiled.search("\n".join(self._lines))
            return found is not None or not self._reader.is_alive() or self.process.poll() is not None

        with self._changed:
            self._changed.wait_for(is_over, timeout=seconds)
        if found is None:
            self._reader.join(timeout=5)
            found = compiled.search(self.output())
        if found is None:
            pytest.fail(f"{compiled.pattern!r} did not appear in the output of the host:\n{self.output()}")
        return found

    def wait_until_listening(self) -> None:
        """Wait until the host takes requests, and learn its address."""
        found = self.wait_for(LISTENING)
        self.url, self.port = f"http://127.0.0.1:{found[2]}", int(found[2])

    def wait_until_ready(self) -> None:
        """Wait until the worker owns a partition."""
        self.wait_for(READY)

    def wait_for_end_of_output(self, *, seconds: float = START_SECONDS) -> None:
        """Wait until nobody is left who writes to the output: no child outlives the process."""
        self._reader.join(timeout=seconds)
        if self._reader.is_alive():
            pytest.fail(f"a process still holds the output of the host after {seconds} s:\n{self.output()}")

    def kill(self) -> None:
        """End the process as kill -9 does: nothing of it gets to run."""
        self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to end, and return its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait until the process has ended and everything it wrote was read; return its exit code."""
        try:
            code = self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"the host did not end within {STOP_SECONDS} s:\n{self.output()}")
        self._reader.join(timeout=5)
        return code


class StartHost(Protocol):
    """Starts a host; see :func:`start_host`."""

    def __call__(
        self,
        app_dir: Path | None,
        *arguments: str,
        storage: str | None = None,
        hub: str | None = None,
        port: int | None = 0,
        environment: Mapping[str, str] | None = None,
        packages: Path | None = None,
        sdk: str | None = None,
        python: Path | None = None,
        wait: bool = True,
    ) -> Host:
        """Start ``taskhub start app_dir``.

        Args:
            app_dir: folder of the app; ``None``: the environment tells.
            arguments: further ones of the command.
            storage: as ``--storage``.
            hub: as ``--hub``.
            port: as ``--port``; any free one by default, ``None``: the environment tells.
            environment: variables on top of the test's own.
            packages: virtual environment that is activated; by default the host's own.
            sdk: as ``--sdk``.
            python: that runs the host; by default that of the tests.
            wait: until it listens.
        """


@pytest.fixture
def start_host() -> Iterator[StartHost]:
    """Starts hosts, any number of them; those that still run at the end of the test are killed."""
    with host_starter() as start:
        yield start


@contextmanager
def host_starter() -> Iterator[StartHost]:
    """Give what starts hosts, for fixtures of a wider scope; those that still run at the end are killed."""
    started: list[Host] = []

    def start(
        app_dir: Path | None,
        *arguments: str,
        storage: str | None = None,
        hub: str | None = None,
        port: int | None = 0,
        environment: Mapping[str, str] | None = None,
        packages: Path | None = None,
        sdk: str | None = None,
        python: Path | None = None,
        wait: bool = True,
    ) -> Host:
        command = [
            str(python or sys.executable),
            "-m",
            "taskhub.cli",
            "start",
            *([] if app_dir is None else [str(app_dir)]),
            *arguments,
        ]
        command += [] if port is None else ["--port", str(port)]
        command += [*(("--storage", storage) if storage else ()), *(("--hub", hub) if hub else ())]
        command += ["--sdk", sdk] if sdk else []
        host = Host(command, {**_clean_environment(packages), **(environment or {})})
        started.append(host)
        if wait:
            host.wait_until_listening()
        return host

    try:
        yield start
    finally:
        for host in started:
            if host.process.poll() is None:
                host.kill()


def on_sdk(sdk: str) -> dict[str, Any]:
    """Return options of a host that runs its app on an SDK (``own``, ``own-json``, ``official``)."""
    return {"packages": reference.environment()} if sdk == "official" else {"sdk": sdk}


def _clean_environment(packages: Path | None) -> dict[str, str]:
    """Return the environment without what would configure an app."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().startswith(
            ("azurewebjobs", "azurefunctionsjobhost", "functions_", "website_", "virtual_env")
        )
    }
    return kept if packages is None else {**kept, "VIRTUAL_ENV": str(packages), **reference.WITHOUT_AGENTS}
