"""Starts and stops everything of a host process, in order. Start reading here.

Start: configuration → port → app (user code runs) → storage → doors → worker. The doors open before the worker has
anything, so that HTTP functions answer while storage is away. Stop (Ctrl+C, SIGTERM): the main door closes and lets its
requests finish → the workers, which do not wait for slow ones, drain and give their partitions back → functions that
still run get the rest of the grace period → the loopback door → storage. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import signal
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.errors import ConfigurationError
from taskhub.hints import HintListener, HintSender, PeerSettings
from taskhub.host.application import FunctionsApplication
from taskhub.host.client_binding import client_payload
from taskhub.host.configuration import HostConfiguration, load_configuration
from taskhub.host.console import Console, captured_output, wants_colour, wants_debug
from taskhub.host.http_admin import Admin, HostStatus, State
from taskhub.host.http_cors import Cors
from taskhub.host.http_functions import HttpFunctions
from taskhub.host.http_keys import KeyStore, secrets_folder
from taskhub.host.listing import listing
from taskhub.host.loading import LoadedApp, load_functions, make_invoker, orchestrations_of, payloads_of
from taskhub.host.management import Hubs, Management
from taskhub.host.observers import observers_of
from taskhub.host.official_sdk import Drive, SdkChoice
from taskhub.host.place import Place, find_place
from taskhub.host.rpc_doors import rpc_door
from taskhub.host.server import (
    LOOPBACK,
    DoorOptions,
    Listener,
    MainDoor,
    bind_main_port,
    is_loopback,
)
from taskhub.host.server_limits import Limits
from taskhub.host.triggers.assembly import AppStorage
from taskhub.host.triggers.event_grid import EventGrid
from taskhub.host.triggers.runs import Runs
from taskhub.host.version import package_version
from taskhub.host.watch import own_command, supervise
from taskhub.host.workers import OneWorker, WorkerProcesses, WorkerProcessOptions, worker_count_of
from taskhub.runtime.parking import ParkingApplication
from taskhub.wiring import StoreChoice, choose_store, chosen_again, open_storage, open_store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from taskhub.host.heir import Heir
    from taskhub.host.official_sdk import Sdk
    from taskhub.host.workers import Workers
    from taskhub.runtime.environment import Environment
    from taskhub.wiring import Storage

DEFAULT_PORT = 7071
_GRACE_SECONDS = {signal.SIGINT: 5.0, signal.SIGTERM: 25.0}
"""Ctrl+C is a person who waits; SIGTERM a supervisor, which gives 30 s by default."""
_REQUESTS_SHARE = 0.4
"""Of the grace period. After it the worker stops although requests are in progress: they may wait for orchestrations
that will not end, and it needs time to give its partitions back."""
_LATE_SECONDS = 1.0
"""For a worker that has come to the end of its grace period and writes its last rows."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostOptions:
    """What ``taskhub start`` was told."""

    app_root: Path
    sdk: Sdk
    sdk_choice: SdkChoice = SdkChoice.AUTO
    """That led to it; worker processes choose for themselves."""
    port: int | None = None
    address: str | None = None
    """To listen on; ``None``: what ``local.settings.json`` says, else the loopback addresses."""
    auth: bool | None = None
    """Ask for keys; ``None``: when other machines can reach the host."""
    cors: str | None = None
    """Origins with commas; ``None``: what ``local.settings.json`` says."""
    cors_credentials: bool = False
    functions: tuple[str, ...] | None = None
    """Names of the only functions to load; ``None``: all that ``host.json`` allows."""
    hub: str | None = None
    storage: str | None = None
    verbose: bool = False
    workers: int | None = None
    """Worker processes; ``None``: as many as ``FUNCTIONS_WORKER_PROCESS_COUNT`` says, else none besides the host."""
    watch: bool = False
    """Load the app anew when its files change."""
    heir: Heir | None = None
    """Of such a host: what this process is, if it is not the supervisor."""


def run_host(options: HostOptions) -> int:
    """Run a host until it is told to stop; return the exit code of the process."""
    stream = sys.stdout
    console = Console(stream, verbose=options.verbose, colour=wants_colour(stream, os.environ))
    heir = options.heir
    if heir is None:
        console.plain("\nTask Hub for Durable Functions", "33")
        console.plain(f"Task Hub Version:  {package_version()}\nPython Version:    {sys.version.split()[0]}\n", "90")
    try:
        configuration = load_configuration(options.app_root.resolve(), os.environ, hub=options.hub)
        configuration = configuration.with_functions(options.functions)
        place = find_place(os.environ, route_prefix=configuration.route_prefix)
        console.configure(configuration.log_levels)
        store = choose_store(
            options.storage,
            app_settings=configuration.settings,
            app_root=configuration.app_root,
            setting=configuration.durable.connection,
        )
        door = _door_options(options, configuration, place)
        sockets = _bind(options, configuration, place) if heir is None else heir.sockets
    except ConfigurationError as error:
        console.line(str(error), "31")
        return 1
    if options.watch and heir is None:
        console.line(f"Watching {configuration.app_root}; the app is loaded anew when its code changes.")
        root = configuration.app_root
        return asyncio.run(
            supervise(own_command(), app_root=root, sockets=sockets, console=console, grace_seconds=_GRACE_SECONDS)
        )
    _enter_environment(configuration, place, sockets[0].getsockname()[1])
    for warning in configuration.warnings:
        console.warning(warning)
    _tell_sdk(options.sdk, console)
    with captured_output(console, debug=wants_debug(console, os.environ)):
        loaded = load_functions(configuration, console, is_official=not options.sdk.is_ours)
        host = _Host(options, configuration, console, loaded, store, sockets, door)
        try:
            asyncio.run(host.serve())
        except ConfigurationError as error:
            console.line(str(error), "31")
            return 1
    if host.is_busy:
        # Threads that run user code cannot be stopped, and the interpreter would wait for them.
        stream.flush()
        os._exit(host.exit_code)
    return host.exit_code


def _tell_sdk(sdk: Sdk, console: Console) -> None:
    if sdk.warning is not None:
        console.warning(sdk.warning)
    if sdk.drive is Drive.JSON and not sdk.is_ours:
        console.line(
            f"The app runs on {sdk}. Each episode replays its whole history; --sdk own runs it on the SDK of the task "
            "hub, which keeps instances in memory."
        )
    elif sdk.drive is not Drive.LIVE:
        console.line(f"The app runs on {sdk}.")


def _bind(options: HostOptions, configuration: HostConfiguration, place: Place) -> list[socket.socket]:
    ports = (options.port, place.port, configuration.local_host.port, DEFAULT_PORT)
    port = next(port for port in ports if port is not None)
    return bind_main_port(port, _address(options, configuration, place))


def _address(options: HostOptions, configuration: HostConfiguration, place: Place) -> str:
    address = options.address or place.address or configuration.local_host.address or LOOPBACK
    return LOOPBACK if address.lower() == "localhost" else address


def _door_options(options: HostOptions, configuration: HostConfiguration, place: Place) -> DoorOptions:
    """Return how the main port treats requests; makes the keys where they are asked for and not there."""
    cors = configuration.local_host.cors
    if options.cors is not None:
        cors = Cors.of(options.cors, allow_credentials=options.cors_credentials)
    elif cors is not None and options.cors_credentials:
        cors = Cors.of(",".join(cors.origins), allow_credentials=True)
    # Whoever reaches the port can start, end and read everything, unless he is asked for a key. Whom the Functions host
    # lets through to its custom handler, the handler cannot know.
    is_exposed = place.is_custom_handler or not is_loopback(_address(options, configuration, place))
    asks_for_keys = is_exposed if options.auth is None else options.auth
    return DoorOptions(
        http=configuration.http,
        cors=cors,
        keys=KeyStore(secrets_folder(configuration)) if asks_for_keys else None,
        limits=Limits(),
        landing_page=configuration.settings.get("AzureWebJobsDisableHomepage", "").lower() not in ("true", "1"),
        place=place,
    )


def _enter_environment(configuration: HostConfiguration, place: Place, port: int) -> None:
    os.environ.update(configuration.added_settings)
    os.environ["AzureWebJobsScriptRoot"] = str(configuration.app_root)  # noqa: SIM112 (its name)
    if not place.is_custom_handler:  # there, the Functions host has told both
        os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
        os.environ["WEBSITE_HOSTNAME"] = f"localhost:{port}"
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")


# ---- serving


class _Host:
    """One run of a host, from open doors to closed storage."""

    def __init__(
        self,
        options: HostOptions,
        configuration: HostConfiguration,
        console: Console,
        loaded: LoadedApp,
        store: StoreChoice,
        sockets: list[socket.socket],
        door: DoorOptions,
    ) -> None:
        self._options = options
        self._configuration = configuration
        self._console = console
        self._loaded = loaded
        self._store = store
        self._sockets = sockets
        self._door = door
        self._port: int = sockets[0].getsockname()[1]
        self._instance_id = uuid.uuid4().hex
        self._began = time.monotonic()
        self._workers: Workers | None = None
        self._is_stopping = False
        self._grace_seconds = 0.0
        self.exit_code = 0
        self.is_busy = False
        """Functions were still running when the grace period ended."""

    def __repr__(self) -> str:
        return f"<_Host on port {self._port}, {len(self._loaded.plans)} functions>"

    async def serve(self) -> None:
        """Serve until a signal comes, then stop in order.

        Raises:
            ConfigurationError: the store cannot be opened, or no port is left for the durable client.
        """
        stop = asyncio.Event()
        self._watch_signals(stop)
        heir = self._options.heir
        if heir is not None:

            def on_stop(grace_seconds: float) -> None:
                self._grace_seconds = grace_seconds
                stop.set()

            await heir.report(len(self._loaded.functions), self._loaded.errors, on_stop)
            await heir.may_serve()
        storage = await open_store(self._store)
        try:
            await self._serve_with(storage, stop)
        finally:
            await storage.aclose()

    async def _serve_with(self, storage: Storage, stop: asyncio.Event) -> None:
        durable, sdk = self._configuration.durable, self._options.sdk
        rpc = rpc_door(sdk, durable) if durable.local_rpc_endpoint else None
        rpc_port = None if rpc is None else rpc.port
        app_storage = AppStorage.of(self._configuration, storage, self._store, asked=self._options.storage)
        observers = observers_of(self._configuration)
        invoker = make_invoker(self._configuration, self._console, app_storage.bindings, observers)
        keys = self._door.keys
        payload = client_payload(
            self._configuration, self._base_url, rpc_port=rpc_port, keys=keys, speaks_grpc=sdk.speaks_grpc
        )
        orchestrations = orchestrations_of(sdk, invoker, durable.hub, payload)
        application = FunctionsApplication(
            self._loaded.plans, invoker, orchestrations, client_payload=payload, payloads=payloads_of(sdk)
        )
        count = worker_count_of(self._options.workers, os.environ.get("FUNCTIONS_WORKER_PROCESS_COUNT"))
        listeners = app_storage.listen_with(invoker, self._loaded.plans, payload, number=0 if count == 1 else None)
        peers = PeerSettings.of(self._configuration.settings)
        sender = HintSender(storage.description, durable.hub.hub_name, remote=peers)
        workers: Workers
        if count == 1:
            settings, root = durable.hub, self._configuration.app_root
            is_durable = self._loaded.is_durable
            worked = ParkingApplication(application, self._tell_parked) if self._options.watch else application
            workers = OneWorker(
                storage,
                settings,
                worked,
                root,
                listeners,
                pass_on=sender.hint,
                is_durable=is_durable,
                environment=observers.environment,
            )
        else:
            workers = self._worker_processes(storage, count, rpc_port, sender.hint, observers.environment)
            app_storage.wake_others = workers.wake
        self._workers = workers
        hearing = HintListener(storage.description, durable.hub.hub_name, workers.hear, remote=peers)
        hubs = Hubs(
            durable,
            workers.client,
            storage,
            self._open_connection,
            keys.durable_code if keys else str,
            webhook_path=self._door.place.webhook_path,
        )
        management = Management(hubs, application, use_forwarded_host=durable.use_forwarded_host)
        prefix = self._configuration.route_prefix
        functions = HttpFunctions(self._loaded.plans, invoker, prefix=prefix, client_payload=payload)
        admin = Admin(
            self._loaded.plans,
            self._loaded.errors,
            self._status,
            functions,
            prefix=prefix,
            keys=keys,
            by_hand=listeners.by_hand,
        )
        clock = app_storage.connections.environment.clock
        events = EventGrid(self._loaded.plans, Runs(invoker, payload, clock).run, app_storage.wake, clock)
        if keys is not None:
            keys.add_system_keys(sorted(events.extensions))
        door = MainDoor(functions, management.handle, admin.handle, self._door, events=events)
        main = Listener(self._sockets, door, limits=self._door.limits)
        worker_stop = asyncio.Event()
        await main.start()
        if rpc is not None:
            await rpc.start(hubs, management)
        if self._loaded.is_durable:
            await hearing.start()
            sender.own_note = hearing.note
        self._announce(storage)
        work = self._work(workers, worker_stop, stop) if self._loaded.has_work else None
        working = asyncio.create_task(work, name="worker") if work is not None else None
        await stop.wait()

        self._is_stopping = True
        hearing.stop()
        self._console.line("Stopping host...")
        ends = asyncio.get_running_loop().time() + self._grace_seconds
        closing = asyncio.create_task(main.stop(grace_seconds=self._grace_seconds), name="close main door")
        await asyncio.wait([closing], timeout=self._grace_seconds * _REQUESTS_SHARE)
        workers.grace_seconds = _left(ends)
        worker_stop.set()
        if working is not None:
            await asyncio.wait([working], timeout=_left(ends) + _LATE_SECONDS)
        await closing
        await admin.aclose()
        await invoker.aclose(grace_seconds=_left(ends))
        if rpc is not None:
            await rpc.stop()
        if working is not None and not working.done():
            working.cancel()
            await asyncio.wait([working])
        await application.aclose()
        await hubs.aclose()
        await app_storage.aclose()
        sender.close()
        await observers.aclose()
        self.is_busy = invoker.is_busy

    @property
    def _base_url(self) -> str:
        place = self._door.place
        return f"{place.public_origin or f'http://localhost:{self._port}'}{place.webhook_path}"

    def _worker_processes(
        self,
        storage: Storage,
        count: int,
        rpc_port: int | None,
        pass_on: Callable[[str, float], object],
        environment: Environment,
    ) -> WorkerProcesses:
        configuration = self._configuration

        def options_of(number: int, channel: int) -> WorkerProcessOptions:
            return WorkerProcessOptions(
                app_root=str(configuration.app_root),
                functions=self._options.functions,
                parks=self._options.watch,
                number=number,
                channel=channel,
                base_url=self._base_url,
                rpc_port=rpc_port,
                hub=self._options.hub,
                storage=chosen_again(self._store, self._options.storage),
                verbose=self._options.verbose,
                colour=self._console.is_coloured,
                asks_for_keys=self._door.keys is not None,
                sdk=self._options.sdk_choice.value,
            )

        return WorkerProcesses(
            storage,
            configuration.durable.hub,
            count=count,
            options_of=options_of,
            pass_on=pass_on,
            environment=environment,
        )

    def _watch_signals(self, stop: asyncio.Event) -> None:
        def on_signal(number: signal.Signals) -> None:
            if stop.is_set():
                if self._workers is not None:
                    self._workers.kill()
                os._exit(128 + number)
            self._grace_seconds = _GRACE_SECONDS[number]
            stop.set()

        for number in _GRACE_SECONDS:
            if number == signal.SIGINT and self._options.heir is not None:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                continue
            asyncio.get_running_loop().add_signal_handler(number, on_signal, number)

    async def _work(self, workers: Workers, worker_stop: asyncio.Event, stop: asyncio.Event) -> None:
        """Run the worker, which waits out all trouble with storage by itself; a worker that breaks ends the host."""
        ready = asyncio.Event()
        announcing = asyncio.create_task(self._announce_ready(ready), name="announce readiness")
        try:
            if self._options.heir is not None:
                await self._options.heir.may_work()
            await workers.run(worker_stop, ready=ready)
        except ConfigurationError as error:
            self._console.line(str(error), "31")
            self._give_up(stop)
        except Exception:
            logger.exception("The worker of the task hub broke; the host stops.")
            self._give_up(stop)
        finally:
            announcing.cancel()

    def _tell_parked(self, text: str) -> None:
        self._console.line(text, "33")

    def _give_up(self, stop: asyncio.Event) -> None:
        self.exit_code = 1
        self._grace_seconds = _GRACE_SECONDS[signal.SIGINT]
        stop.set()

    async def _announce_ready(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._console.line(f"Host lock lease acquired by instance ID '{self._instance_id}'.")

    def _announce(self, storage: Storage) -> None:
        if self._door.keys is not None:
            self._console.line(f"Requests need a key. The keys are in {self._door.keys.folder}.")
        if self._loaded.functions:
            self._list_functions()
        hub = self._configuration.durable.hub.hub_name
        self._console.line(f"Task hub '{hub}' is kept in {storage.description}, {self._store.why}.")
        self._console.line(f"Now listening on: http://localhost:{self._port}")
        if self._door.place.is_custom_handler:
            self._console.line(f"Custom handler of the Functions host; the management API is at {self._base_url}.")

    def _list_functions(self) -> None:
        for line in listing(self._loaded.functions, port=self._port, prefix=self._configuration.route_prefix):
            self._console.pieces(line)

    async def _open_connection(self, setting: str) -> Storage:
        return await open_storage(
            None, app_settings=self._configuration.settings, app_root=self._configuration.app_root, setting=setting
        )

    def _status(self) -> HostStatus:
        return HostStatus(
            self._state(),
            self._not_ready(),
            {
                "id": self._configuration.durable.hub.hub_name.lower(),
                "version": package_version(),
                "instanceId": self._instance_id,
                "computerName": platform.node(),
                "processUptime": round((time.monotonic() - self._began) * 1000),
                "errors": list(self._loaded.errors) or None,
            },
        )

    def _state(self) -> State:
        if self._is_stopping:
            return State.STOPPING
        return State.ERROR if self._has_failed_to_load else State.RUNNING

    @property
    def _has_failed_to_load(self) -> bool:
        return bool(self._loaded.errors) and not self._loaded.functions

    def _not_ready(self) -> str | None:
        if self._is_stopping:
            return "The host is stopping."
        if self._has_failed_to_load:
            return "No function of the app could be loaded."
        if self._loaded.is_durable and self._workers is not None and not self._workers.is_ready:
            return "No worker owns a partition of the task hub yet."
        return None


def _left(ends: float) -> float:
    return max(ends - asyncio.get_running_loop().time(), 0)
