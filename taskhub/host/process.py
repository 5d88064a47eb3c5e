"""Starts and stops everything of a host process, in order. Start reading here.

Start: configuration → port → app (user code runs) → storage → doors → worker. The doors open before the worker has
anything, so that HTTP functions answer while storage is away. Stop (Ctrl+C, SIGTERM): the main door closes and lets its
requests finish → the worker, which does not wait for slow ones, drains and gives its partitions back → functions that
still run get the rest of the grace period → the loopback door → storage. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import platform
import signal
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host import routes
from taskhub.host.app_loader import enter_app, load_app
from taskhub.host.application import FunctionsApplication
from taskhub.host.bindings import BindingError
from taskhub.host.call_plan import CallPlan, plan_call
from taskhub.host.configuration import HostConfiguration, load_configuration, resolve_settings
from taskhub.host.console import Console, captured_output, wants_colour
from taskhub.host.durable_options import DEFAULT_CONNECTION, DEFAULT_CONNECTION_ALIAS
from taskhub.host.functions import DURABLE_TRIGGERS, Function, FunctionError
from taskhub.host.http_functions import HttpFunctions, check_route
from taskhub.host.identity import WorkerIdentity
from taskhub.host.invoker import Invoker, thread_count_of
from taskhub.host.listing import listing
from taskhub.host.management import Hubs, Management
from taskhub.host.official_sdk import find_clash
from taskhub.host.server import MAX_BODY_BYTES, Listener, MainDoor, RpcDoor, bind_main_port, bind_rpc_port
from taskhub.host.version import package_version
from taskhub.runtime.worker import Worker
from taskhub.wiring import StoreChoice, choose_store, find_setting, open_storage, open_store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

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
    port: int | None = None
    hub: str | None = None
    storage: str | None = None
    verbose: bool = False


def run_host(options: HostOptions) -> int:
    """Run a host until it is told to stop; return the exit code of the process."""
    stream = sys.stdout
    console = Console(stream, verbose=options.verbose, colour=wants_colour(stream, os.environ))
    console.plain("\nTask Hub for Durable Functions", "33")
    console.plain(f"Task Hub Version:  {package_version()}\nPython Version:    {sys.version.split()[0]}\n", "90")
    try:
        configuration = load_configuration(options.app_root.resolve(), os.environ, hub=options.hub)
        console.configure(configuration.log_levels)
        store = choose_store(
            options.storage,
            app_settings=configuration.settings,
            app_root=configuration.app_root,
            setting=configuration.durable.connection,
        )
        sockets = _bind(options, configuration)
    except ConfigurationError as error:
        console.line(str(error), "31")
        return 1
    _enter_environment(configuration, sockets[0].getsockname()[1])
    for warning in configuration.warnings:
        console.warning(warning)
    clash = find_clash()
    if clash is not None:
        console.warning(str(clash))
    with captured_output(console, debug=_wants_debug(console)):
        loaded = _load(configuration, console)
        host = _Host(configuration, console, loaded, store, sockets)
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


def _bind(options: HostOptions, configuration: HostConfiguration) -> list[socket.socket]:
    port = options.port if options.port is not None else configuration.http_port
    return bind_main_port(DEFAULT_PORT if port is None else port)


def _enter_environment(configuration: HostConfiguration, port: int) -> None:
    os.environ.update(configuration.added_settings)
    os.environ["AZURE_FUNCTIONS_ENVIRONMENT"] = "Development"
    os.environ["AzureWebJobsScriptRoot"] = str(configuration.app_root)  # noqa: SIM112 (its name)
    os.environ["WEBSITE_HOSTNAME"] = f"localhost:{port}"
    os.environ.setdefault("FUNCTIONS_WORKER_RUNTIME", "python")


def _wants_debug(console: Console) -> bool:
    asked = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").strip().lower() in ("1", "true", "yes", "on")
    return asked or console.shows("debug", "Function")


# ---- loading


@dataclass(frozen=True, slots=True)
class _Loaded:
    functions: Sequence[Function]
    plans: Sequence[CallPlan]
    errors: Sequence[str]


def _load(configuration: HostConfiguration, console: Console) -> _Loaded:
    """Import the app and say what was found; bad functions, or a bad app, leave the host running."""
    enter_app(configuration.app_root)
    app = load_app(configuration)
    planned = [_plan(function, configuration.route_prefix) for function in app.functions]
    plans = [plan for plan in planned if isinstance(plan, CallPlan)]
    bad = [error for error in planned if isinstance(error, FunctionError)]
    console.line("Worker process started and initialized.")
    for warning in app.warnings:
        console.warning(warning)
    errors = [*([app.failure] if app.failure else []), *map(str, app.errors), *map(str, bad)]
    for error in errors:
        console.error(error)
    if not plans:
        console.warning(
            "No job functions found. Define functions in function_app.py with the decorators of a func.FunctionApp, or "
            "in folders with a function.json."
        )
    return _Loaded([plan.function for plan in plans], plans, errors)


def _plan(function: Function, prefix: str) -> CallPlan | FunctionError:
    try:
        check_route(function, prefix)
        return plan_call(function)
    except BindingError as error:
        return FunctionError(function.name, str(error))


# ---- serving


class _Host:
    """One run of a host, from open doors to closed storage."""

    def __init__(
        self,
        configuration: HostConfiguration,
        console: Console,
        loaded: _Loaded,
        store: StoreChoice,
        sockets: list[socket.socket],
    ) -> None:
        self._configuration = configuration
        self._console = console
        self._loaded = loaded
        self._store = store
        self._sockets = sockets
        self._port: int = sockets[0].getsockname()[1]
        self._instance_id = uuid.uuid4().hex
        self._began = time.monotonic()
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
        storage = await open_store(self._store)
        try:
            await self._serve_with(storage, stop)
        finally:
            await storage.aclose()

    async def _serve_with(self, storage: Storage, stop: asyncio.Event) -> None:
        durable = self._configuration.durable
        rpc_socket = bind_rpc_port() if durable.local_rpc_endpoint else None
        invoker = Invoker(
            self._console,
            thread_count=thread_count_of(os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT")),
            timeout_seconds=self._configuration.function_timeout_seconds,
        )
        payload = self._client_payload(rpc_socket)
        application = FunctionsApplication(self._loaded.plans, invoker, durable.hub, client_payload=payload)
        identity = WorkerIdentity(self._configuration.app_root, durable.hub.hub_name)
        worker = Worker(storage, durable.hub, application, worker_id=identity.id)
        hubs = Hubs(durable, worker.client, storage, self._open_connection)
        management = Management(hubs, application, use_forwarded_host=durable.use_forwarded_host)
        functions = HttpFunctions(
            self._loaded.plans,
            invoker,
            prefix=self._configuration.route_prefix,
            client_payload=payload,
            headers=self._configuration.response_headers,
        )
        main = Listener(
            self._sockets,
            MainDoor(functions, management.handle, self._status, landing_page=self._shows_landing_page()),
            max_body_bytes=MAX_BODY_BYTES,
        )
        rpc = Listener([rpc_socket], RpcDoor(management.handle), max_body_bytes=0) if rpc_socket else None
        worker_stop = asyncio.Event()
        await main.start()
        if rpc is not None:
            await rpc.start()
        self._announce(storage)
        has_work = any(function.trigger.kind in DURABLE_TRIGGERS for function in self._loaded.functions)
        working = asyncio.create_task(self._work(worker, worker_stop, stop), name="worker") if has_work else None
        await stop.wait()

        self._console.line("Stopping host...")
        ends = asyncio.get_running_loop().time() + self._grace_seconds
        closing = asyncio.create_task(main.stop(grace_seconds=self._grace_seconds), name="close main door")
        await asyncio.wait([closing], timeout=self._grace_seconds * _REQUESTS_SHARE)
        worker.grace_seconds = _left(ends)
        worker_stop.set()
        if working is not None:
            await asyncio.wait([working], timeout=_left(ends) + _LATE_SECONDS)
        await closing
        await invoker.aclose(grace_seconds=_left(ends))
        if rpc is not None:
            await rpc.stop(grace_seconds=0)
        if working is not None and not working.done():
            working.cancel()
            await asyncio.wait([working])
        await hubs.aclose()
        identity.release()
        self.is_busy = invoker.is_busy

    def _watch_signals(self, stop: asyncio.Event) -> None:
        def on_signal(number: signal.Signals) -> None:
            if stop.is_set():
                os._exit(128 + number)
            self._grace_seconds = _GRACE_SECONDS[number]
            stop.set()

        for number in _GRACE_SECONDS:
            asyncio.get_running_loop().add_signal_handler(number, on_signal, number)

    async def _work(self, worker: Worker, worker_stop: asyncio.Event, stop: asyncio.Event) -> None:
        """Run the worker, which waits out all trouble with storage by itself; a worker that breaks ends the host."""
        ready = asyncio.Event()
        announcing = asyncio.create_task(self._announce_ready(ready), name="announce readiness")
        try:
            await worker.run(worker_stop, ready=ready)
        except Exception:
            self.exit_code = 1
            logger.exception("The worker of the task hub broke; the host stops.")
            self._grace_seconds = _GRACE_SECONDS[signal.SIGINT]
            stop.set()
        finally:
            announcing.cancel()

    async def _announce_ready(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._console.line(f"Host lock lease acquired by instance ID '{self._instance_id}'.")

    def _announce(self, storage: Storage) -> None:
        if self._loaded.functions:
            self._list_functions()
        hub = self._configuration.durable.hub.hub_name
        self._console.line(f"Task hub '{hub}' is kept in {storage.description}, {self._store.why}.")
        self._console.line(f"Now listening on: http://localhost:{self._port}")

    def _list_functions(self) -> None:
        for line in listing(self._loaded.functions, port=self._port, prefix=self._configuration.route_prefix):
            self._console.pieces(line)

    def _client_payload(self, rpc_socket: socket.socket | None) -> Callable[[Mapping[str, Any]], str]:
        durable, settings = self._configuration.durable, self._configuration.settings
        alias = DEFAULT_CONNECTION_ALIAS if durable.connection == DEFAULT_CONNECTION else durable.connection
        urls = routes.Urls(f"http://localhost:{self._port}{routes.WEBHOOK_PATH}", durable.hub.hub_name, alias)
        rpc = f"http://127.0.0.1:{rpc_socket.getsockname()[1]}{routes.RPC_PATH}/" if rpc_socket else None

        @functools.cache
        def payload(hub: str | None, connection: str | None) -> str:
            return urls.client_payload(rpc, hub, connection)

        def of_binding(properties: Mapping[str, Any]) -> str:
            hub = properties.get("taskhub")
            return payload(resolve_settings(hub, settings) if hub else None, properties.get("connectionname") or None)

        return of_binding

    async def _open_connection(self, setting: str) -> Storage:
        if find_setting(self._configuration.settings, setting) is None:
            raise ConfigurationError(f"Unable to resolve the Azure Storage connection named '{setting}'.")
        return await open_storage(
            None, app_settings=self._configuration.settings, app_root=self._configuration.app_root, setting=setting
        )

    def _shows_landing_page(self) -> bool:
        return self._configuration.settings.get("AzureWebJobsDisableHomepage", "").lower() not in ("true", "1")

    def _status(self) -> Mapping[str, Any]:
        return {
            "id": self._configuration.durable.hub.hub_name.lower(),
            "state": "Running",
            "version": package_version(),
            "instanceId": self._instance_id,
            "computerName": platform.node(),
            "processUptime": round((time.monotonic() - self._began) * 1000),
            "errors": list(self._loaded.errors) or None,
        }


def _left(ends: float) -> float:
    return max(ends - asyncio.get_running_loop().time(), 0)
