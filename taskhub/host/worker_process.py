"""A worker in a process of its own, started by :class:`taskhub.host.workers.WorkerProcesses`.

It loads the app like the host, serves nothing, and ends when the host says so or is gone. Ctrl+C, which a terminal
sends to all processes, is the host's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.errors import ConfigurationError
from taskhub.host.application import FunctionsApplication
from taskhub.host.channel import Channel, Hints
from taskhub.host.client_binding import client_payload
from taskhub.host.configuration import load_configuration
from taskhub.host.console import Console, captured_output, wants_debug
from taskhub.host.http_keys import KeyStore, secrets_folder
from taskhub.host.identity import WorkerIdentity
from taskhub.host.loading import load_functions, make_invoker, orchestrations_of, payloads_of
from taskhub.host.observers import observers_of
from taskhub.host.triggers.assembly import AppStorage
from taskhub.host.workers import work_and_listen
from taskhub.runtime.parking import ParkingApplication
from taskhub.runtime.worker import Worker
from taskhub.wiring import choose_store, open_store

if TYPE_CHECKING:
    from taskhub.host.configuration import HostConfiguration
    from taskhub.host.loading import LoadedApp
    from taskhub.host.official_sdk import Sdk
    from taskhub.host.triggers.listeners import Listeners
    from taskhub.host.workers import WorkerProcessOptions

ORPHAN_GRACE_SECONDS = 5.0
"""For a worker whose host is gone."""
LATE_SECONDS = 0.5
"""For a worker that has come to the end of its grace period and writes its last rows."""

logger = logging.getLogger(__name__)


def run_worker_process(options: WorkerProcessOptions, sdk: Sdk) -> int:
    """Run a worker until the host stops it; return the exit code of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    console = Console(sys.stdout, verbose=options.verbose, colour=options.colour)
    configuration = load_configuration(Path(options.app_root), os.environ, hub=options.hub)
    configuration = configuration.with_functions(options.functions)
    console.configure(configuration.log_levels)
    with captured_output(console, debug=wants_debug(console, os.environ)):
        loaded = load_functions(configuration, console, is_official=not sdk.is_ours, is_told=False)
        process = _WorkerProcess(options, configuration, console, loaded, sdk)
        try:
            code = asyncio.run(process.work())
        except Exception:
            logger.exception("The worker of the task hub broke.")
            code = 1
    sys.stdout.flush()
    if process.is_busy:
        # Threads that run user code cannot be stopped, and the interpreter would wait for them.
        os._exit(code)
    return code


class _WorkerProcess:
    def __init__(
        self,
        options: WorkerProcessOptions,
        configuration: HostConfiguration,
        console: Console,
        loaded: LoadedApp,
        sdk: Sdk,
    ) -> None:
        self._options = options
        self._configuration = configuration
        self._console = console
        self._loaded = loaded
        self._sdk = sdk
        self.is_busy = False

    def __repr__(self) -> str:
        return f"<_WorkerProcess {self._options.number}>"

    async def work(self) -> int:
        """Work until the host says stop, or is gone."""
        channel = await Channel.over(socket.socket(fileno=self._options.channel))
        try:
            return await self._work(channel)
        except ConfigurationError as error:
            channel.send("refused", str(error))
            return 1
        finally:
            await channel.aclose()

    async def _work(self, channel: Channel) -> int:
        configuration, options = self._configuration, self._options
        settings = configuration.durable.hub
        store = choose_store(
            options.storage,
            app_settings=configuration.settings,
            app_root=configuration.app_root,
            setting=configuration.durable.connection,
        )
        storage = await open_store(store)
        app_storage = AppStorage.of(configuration, storage, store, asked=options.storage)
        app_storage.wake_others = lambda key: channel.hint(key, 0.0)
        observers = observers_of(configuration)
        invoker = make_invoker(configuration, self._console, app_storage.bindings, observers)
        keys = KeyStore(secrets_folder(configuration)) if options.asks_for_keys else None
        payload = client_payload(
            configuration, options.base_url, rpc_port=options.rpc_port, keys=keys, speaks_grpc=self._sdk.speaks_grpc
        )
        application = FunctionsApplication(
            self._loaded.plans,
            invoker,
            orchestrations_of(self._sdk, invoker, settings, payload),
            client_payload=payload,
            payloads=payloads_of(self._sdk),
        )
        identity = WorkerIdentity(configuration.app_root, settings.hub_name, options.number)
        worker = Worker(
            storage,
            identity.settings(settings),
            ParkingApplication(application, self._tell_parked) if options.parks else application,
            worker_id=identity.id,
            environment=observers.environment,
            announce=Hints(channel.hint).note,
            receipts=identity.receipts,
        )
        listeners = app_storage.listen_with(invoker, self._loaded.plans, payload, number=options.number)
        stop, ready = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        helpers = [
            asyncio.create_task(self._listen(channel, worker, listeners, stop), name="listen to the host"),
            asyncio.create_task(_tell_ready(channel, ready), name="tell readiness"),
        ]
        try:
            await self._run_until_late(worker, listeners, stop, ready)
        finally:
            for helper in helpers:
                helper.cancel()
            await invoker.aclose(grace_seconds=0)
            await application.aclose()
            self.is_busy = invoker.is_busy
            identity.release()
            await app_storage.aclose()
            await storage.aclose()
            await observers.aclose()
        return 0

    def _tell_parked(self, text: str) -> None:
        self._console.line(text, "33")

    async def _run_until_late(
        self, worker: Worker, listeners: Listeners, stop: asyncio.Event, ready: asyncio.Event
    ) -> None:
        durable = worker if self._loaded.is_durable else None
        running = asyncio.create_task(work_and_listen(durable, listeners, stop, ready), name="work and listen")
        stopping = asyncio.create_task(stop.wait(), name="wait for stop")
        try:
            await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([running], timeout=worker.grace_seconds + LATE_SECONDS)
            if running.done():
                running.result()
        finally:
            for task in (running, stopping):
                task.cancel()
            await asyncio.wait([running, stopping])

    async def _listen(self, channel: Channel, worker: Worker, listeners: Listeners, stop: asyncio.Event) -> None:
        async for kind, *rest in channel.lines():
            match kind:
                case "wake":
                    worker.wake(*rest)
                    listeners.wake(*rest)
                case "stop":
                    worker.grace_seconds = listeners.grace_seconds = rest[0]
                    stop.set()
        if not stop.is_set():
            worker.grace_seconds = listeners.grace_seconds = ORPHAN_GRACE_SECONDS
            stop.set()


async def _tell_ready(channel: Channel, ready: asyncio.Event) -> None:
    await ready.wait()
    channel.send("ready")
