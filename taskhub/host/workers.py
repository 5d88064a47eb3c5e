"""The workers of a host: one in its own process, or several in processes of their own.

Several are for apps that are bound by the processor. Each is a whole worker of the hub under a name of its own, so
that it may die at any time; it is started again, at once the first time and ever later while it keeps dying. The host
keeps the HTTP side, and passes on who should look at which queue (:mod:`taskhub.host.channel`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from taskhub.client import TaskHubClient
from taskhub.errors import ConfigurationError
from taskhub.host.channel import Channel, Hints
from taskhub.host.identity import WorkerIdentity
from taskhub.runtime.environment import Environment
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from taskhub.host.triggers.listeners import Listeners
    from taskhub.runtime.application import Application
    from taskhub.settings import TaskHubSettings
    from taskhub.wiring import Storage

MAX_BY_SETTING = 10
"""Workers that ``FUNCTIONS_WORKER_PROCESS_COUNT`` may ask for, the original's limit."""

_FIRST_PAUSE_SECONDS, _MAX_PAUSE_SECONDS, _MAX_PAUSE_OF_READY_SECONDS = 0.2, 10.0, 1.0
"""Before a worker that keeps dying is started again; a worker that had come to work waits less, whatever it died of."""
_STEADY_SECONDS = 10.0
"""A worker that lived so long before it died is not one that keeps dying."""

_KILL_SECONDS = 1.0
"""After the grace period of its worker, a process that has not ended is killed."""

logger = logging.getLogger(__name__)


class Workers(Protocol):
    """What works on the host's task hub."""

    client: TaskHubClient
    """For the management API; what it sends wakes the workers."""
    grace_seconds: float
    """How long a stop may take; may be changed until they are told to stop."""

    @property
    def is_ready(self) -> bool:
        """Whether one of them has come to work on a partition, and is still there."""

    async def run(self, stop: asyncio.Event, *, ready: asyncio.Event) -> None:
        """Work until ``stop`` is set; ``ready`` is set when the first partition is owned.

        Raises:
            ConfigurationError: the hub is not one that these workers may join.
        """

    def hear(self, queue: str, after_seconds: float) -> None:
        """Take a hint of another process: a message in a queue is visible, or will be after some seconds."""

    def kill(self) -> None:
        """End what runs in other processes at once; what was in hand is done by others later."""


class OneWorker:
    """A worker in the host's own process."""

    def __init__(
        self,
        storage: Storage,
        settings: TaskHubSettings,
        application: Application,
        app_root: Path,
        listeners: Listeners,
        *,
        pass_on: Callable[[str, float], object],
        is_durable: bool = True,
        environment: Environment | None = None,
    ) -> None:
        self._listeners = listeners
        self._is_durable = is_durable
        self._identity = WorkerIdentity(app_root, settings.hub_name)
        self._worker = Worker(
            storage,
            self._identity.settings(settings),
            application,
            worker_id=self._identity.id,
            environment=environment,
            announce=Hints(pass_on).note,
            receipts=self._identity.receipts,
        )
        self.client = self._worker.client
        self.grace_seconds = self._worker.grace_seconds
        self._ready: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<OneWorker {self._worker!r}>"

    @property
    def is_ready(self) -> bool:
        """See :class:`Workers`."""
        return self._ready is not None and self._ready.is_set()

    async def run(self, stop: asyncio.Event, *, ready: asyncio.Event) -> None:
        """See :class:`Workers`."""
        self._ready = ready
        own_stop = asyncio.Event()
        waiting = asyncio.create_task(self._pass_on(stop, own_stop), name="wait for stop")
        try:
            await work_and_listen(self._worker if self._is_durable else None, self._listeners, own_stop, ready)
        finally:
            waiting.cancel()
            self._identity.release()

    async def _pass_on(self, stop: asyncio.Event, own_stop: asyncio.Event) -> None:
        await stop.wait()
        self._worker.grace_seconds = self._listeners.grace_seconds = self.grace_seconds
        own_stop.set()

    def hear(self, queue: str, after_seconds: float) -> None:
        """See :class:`Workers`."""
        self._worker.wake(queue, after_seconds)

    def kill(self) -> None:
        """See :class:`Workers`: nothing runs elsewhere."""


async def work_and_listen(
    worker: Worker | None, listeners: Listeners, stop: asyncio.Event, ready: asyncio.Event
) -> None:
    """Run a worker, and what listens for an app in the same process, until ``stop`` is set.

    Args:
        worker: of the task hub; ``None`` for an app without durable functions, which is ready at once.
        listeners: of the app.
        stop: ends both.
        ready: set when the worker owns a partition.
    """
    async with Nursery(Environment().spawn) as nursery:
        nursery.start(listeners.run(stop), name="listeners")
        if worker is None:
            ready.set()
        else:
            nursery.start(worker.run(stop, ready=ready), name="worker")


@dataclass(frozen=True, slots=True)
class WorkerProcessOptions:
    """What a worker process is told, as JSON, on its command line."""

    app_root: str
    number: int
    channel: int
    """Descriptor of its end of the channel."""
    base_url: str
    """Of the management API."""
    rpc_port: int | None
    hub: str | None
    storage: str | None
    verbose: bool
    colour: bool
    asks_for_keys: bool = False
    sdk: str = "auto"
    """Value of a :class:`taskhub.host.official_sdk.SdkChoice`."""
    functions: Sequence[str] | None = None
    parks: bool = False
    """Park instances whose history the code does not fit."""

    @classmethod
    def of(cls, text: str) -> WorkerProcessOptions:
        """Read the text of a command line."""
        return cls(**json.loads(text))

    def command(self) -> list[str]:
        """Return the command line of such a process."""
        words = {name: getattr(self, name) for name in self.__slots__}
        return [sys.executable, "-m", "taskhub.host.worker_main", json.dumps(words)]


@dataclass(slots=True)
class _Child:
    """A worker process that runs."""

    process: asyncio.subprocess.Process
    channel: Channel
    has_been_ready: bool = False
    refusal: str | None = None


class WorkerProcesses:
    """Several workers, each in a process of its own.

    Args:
        storage: for the client.
        settings: of the hub.
        count: how many.
        options_of: returns what to tell the process of a number, which gets a descriptor for its end of the channel.
        pass_on: gives hints to other hosts of the task hub.
        environment: of the client; the system's by default.
    """

    def __init__(
        self,
        storage: Storage,
        settings: TaskHubSettings,
        *,
        count: int,
        options_of: Callable[[int, int], WorkerProcessOptions],
        pass_on: Callable[[str, float], object],
        environment: Environment | None = None,
    ) -> None:
        self._count = count
        self._options_of = options_of
        self._pass_on = pass_on
        self.grace_seconds = settings.stop_grace_seconds
        self._children: dict[int, _Child] = {}
        self._is_stopping = False
        hints = Hints(self._tell_all)
        self.client = TaskHubClient(
            storage,
            settings,
            environment=environment,
            wake=lambda queue, after: hints.note(queue, after, is_read_here=False),
        )

    def __repr__(self) -> str:
        return f"<WorkerProcesses {len(self._children)} of {self._count} running>"

    @property
    def is_ready(self) -> bool:
        """See :class:`Workers`."""
        return any(child.has_been_ready for child in self._children.values())

    async def run(self, stop: asyncio.Event, *, ready: asyncio.Event) -> None:
        """See :class:`Workers`."""
        keepers = [
            asyncio.create_task(self._keep(number, ready), name=f"worker process {number}")
            for number in range(self._count)
        ]
        stopping = asyncio.create_task(stop.wait(), name="wait for stop")
        try:
            await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
            await self._end(keepers)
            for keeper in keepers:
                if keeper.done() and not keeper.cancelled():
                    keeper.result()
        finally:
            stopping.cancel()
            self.kill()
            for keeper in keepers:
                keeper.cancel()

    def wake(self, key: str) -> None:
        """Let all processes look at a queue or a container of the app."""
        self._broadcast(key, 0.0, but=None)

    def hear(self, queue: str, after_seconds: float) -> None:
        """See :class:`Workers`."""
        self._broadcast(queue, after_seconds, but=None)

    def kill(self) -> None:
        """See :class:`Workers`."""
        for child in self._children.values():
            if child.process.returncode is None:
                child.process.kill()

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        """Let all processes stop, and kill those that do not."""
        self._is_stopping = True
        grace = self.grace_seconds
        for child in self._children.values():
            child.channel.send("stop", grace)
        for number, keeper in enumerate(keepers):
            if number not in self._children:
                keeper.cancel()
        _, late = await asyncio.wait(keepers, timeout=grace + _KILL_SECONDS)
        for child in self._children.values():
            logger.warning("worker process %d did not stop within %.0f s and is killed", child.process.pid, grace)
        self.kill()
        if late:
            await asyncio.wait(late)

    async def _keep(self, number: int, ready: asyncio.Event) -> None:
        """Run the worker of a number, again and again, until all stop."""
        clock = asyncio.get_running_loop().time
        pause = 0.0
        while True:
            began = clock()
            child = await self._start(number)
            self._children[number] = child
            if self._is_stopping:
                child.channel.send("stop", 1.0)
            try:
                await self._listen(number, child, ready)
                code = await child.process.wait()
            finally:
                del self._children[number]
                await child.channel.aclose()
            if child.refusal is not None:
                raise ConfigurationError(child.refusal)
            if self._is_stopping:
                return
            pause = 0.0 if clock() - began >= _STEADY_SECONDS else pause
            pause = min(pause, _MAX_PAUSE_OF_READY_SECONDS) if child.has_been_ready else pause
            logger.error(
                "worker process %d (pid %d) ended with %s; it is started again%s",
                number,
                child.process.pid,
                f"signal {-code}" if code < 0 else f"exit code {code}",
                f" in {pause:.1f} s" if pause else "",
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MAX_PAUSE_SECONDS) or _FIRST_PAUSE_SECONDS

    async def _start(self, number: int) -> _Child:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._options_of(number, theirs.fileno()).command(),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return _Child(process, await Channel.over(ours))

    async def _listen(self, number: int, child: _Child, ready: asyncio.Event) -> None:
        async for kind, *rest in child.channel.lines():
            match kind:
                case "wake":
                    self._broadcast(*rest, but=number)
                    self._pass_on(*rest)
                case "ready":
                    child.has_been_ready = True
                    ready.set()
                case "refused":
                    child.refusal = rest[0]

    def _tell_all(self, queue: str, after_seconds: float) -> None:
        self._broadcast(queue, after_seconds, but=None)
        self._pass_on(queue, after_seconds)

    def _broadcast(self, queue: str, after_seconds: float, *, but: int | None) -> None:
        for number, child in self._children.items():
            if number != but:
                child.channel.hint(queue, after_seconds)


def worker_count_of(asked: int | None, setting: str | None) -> int:
    """Return how many worker processes a host has.

    Args:
        asked: on the command line.
        setting: ``FUNCTIONS_WORKER_PROCESS_COUNT``, which may be up to 10.
    """
    if asked is not None or not setting:
        return asked or 1
    if setting.strip().isdigit() and 1 <= int(setting) <= MAX_BY_SETTING:
        return int(setting)
    logger.warning(
        "FUNCTIONS_WORKER_PROCESS_COUNT is '%s', not a whole number from 1 to %d; ignored", setting, MAX_BY_SETTING
    )
    return 1
