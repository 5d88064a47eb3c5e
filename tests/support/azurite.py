"""Azurite, the emulator of Azure Storage: installs itself once, starts in memory on free ports.

Nothing is expected of the machine: ``tests.support.npm`` brings Node and Azurite.

By hand, for development: ``python -m tests.support.azurite`` prints a connection string and runs until Ctrl+C.
Benchmarks use :func:`running_azurite`, a fresh one each: its calls get slower with every message that it holds.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.support import npm

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT_NAME = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's fixed and public account; no secret."""

START_SECONDS = 60
STOP_SECONDS = 60


@dataclass(frozen=True)
class Azurite:
    """A running emulator."""

    blob_port: int
    queue_port: int
    table_port: int
    process: subprocess.Popen[str]

    @property
    def connection_string(self) -> str:
        """How any Azure client finds it."""
        return ";".join(
            (
                "DefaultEndpointsProtocol=http",
                f"AccountName={ACCOUNT_NAME}",
                f"AccountKey={ACCOUNT_KEY}",
                f"BlobEndpoint=http://127.0.0.1:{self.blob_port}/{ACCOUNT_NAME}",
                f"QueueEndpoint=http://127.0.0.1:{self.queue_port}/{ACCOUNT_NAME}",
                f"TableEndpoint=http://127.0.0.1:{self.table_port}/{ACCOUNT_NAME}",
            )
        )

    def end(self) -> None:
        """End it at once; nothing of it is kept that was not written."""
        self.process.kill()
        self._bury()

    def stop(self) -> None:
        """Stop it in order, so that all it knows is on the disk, if it has one."""
        self.process.terminate()
        try:
            self.process.wait(timeout=STOP_SECONDS)
        finally:
            self.process.kill()
            self._bury()

    def _bury(self) -> None:
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextmanager
def running_azurite(*options: str) -> Iterator[Azurite]:
    """Start a fresh, empty emulator and stop it at the end.

    Args:
        options: further ones of its command line.
    """
    with tempfile.TemporaryDirectory(prefix="azurite-") as room:
        emulator = start_azurite(Path(room), "--inMemoryPersistence", *options)
        try:
            yield emulator
        finally:
            emulator.end()


def start_azurite(room: Path, *options: str, ports: tuple[int, int, int] = (0, 0, 0)) -> Azurite:
    """Start an emulator; whoever does also ends it.

    Args:
        room: its working folder; what it keeps is there, unless ``--inMemoryPersistence`` is among the options.
        options: further ones of its command line.
        ports: of blobs, queues and tables; 0: any.
    """
    program = npm.install() / "node_modules/azurite/dist/src/azurite.js"
    names = ("--blobPort", "--queuePort", "--tablePort")
    process = subprocess.Popen(
        [
            str(npm.node()),
            *("--require", str(npm.PINNED / "exit_with_parent.cjs")),
            *("--require", str(npm.PINNED / "close_connections.cjs")),
            str(program),
            *("--disableTelemetry", "--silent"),
            *(each for name, port in zip(names, ports, strict=True) for each in (name, str(port))),
            *options,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=room,
    )
    try:
        return _when_listening(process)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _when_listening(process: subprocess.Popen[str]) -> Azurite:
    """Read what the emulator prints until it has named its three ports; go on reading in a thread."""
    output = process.stdout
    assert output is not None
    ports: dict[str, int] = {}
    lines: deque[str] = deque(maxlen=50)
    # Reading blocks; when nothing comes for too long the process is killed, which ends the reading.
    alarm = threading.Timer(START_SECONDS, process.kill)
    alarm.daemon = True
    alarm.start()
    while len(ports) < 3:
        line = output.readline()
        if not line:
            output.close()
            raise RuntimeError(f"Azurite did not start (status {process.wait()}):\n{''.join(lines)}")
        lines.append(line)
        if found := re.search(r"Azurite (Blob|Queue|Table) service is successfully listening at \S+:(\d+)", line):
            ports[found[1]] = int(found[2])
    alarm.cancel()
    threading.Thread(target=_drain, args=(output,), daemon=True, name="azurite output").start()
    return Azurite(ports["Blob"], ports["Queue"], ports["Table"], process)


def _drain(output: IO[str]) -> None:
    """Read on to the end: a full pipe would stop the emulator."""
    with output:
        deque(output, maxlen=0)


if __name__ == "__main__":
    with running_azurite() as emulator:
        print(emulator.connection_string, flush=True)
        try:
            emulator.process.wait()
        except KeyboardInterrupt:
            print("stopped")
