"""Carries out the commands of the management API on a task hub's client; every decision is in ``routes``."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from typing import TYPE_CHECKING

from taskhub.client import TaskHubClient
from taskhub.errors import (
    ConfigurationError,
    InstanceExists,
    InvalidHubName,
    InvalidInstanceState,
    PayloadError,
    StorageRefused,
    TaskHubError,
    UnknownFunction,
)
from taskhub.host import routes
from taskhub.host.durable_options import DEFAULT_CONNECTION, DEFAULT_CONNECTION_ALIAS
from taskhub.model.entities import EntityPage
from taskhub.model.history import TraceContext
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.model.instance import InstancePage, RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.host.application import FunctionsApplication
    from taskhub.host.durable_options import DurableOptions
    from taskhub.model.history import HistoryEvent
    from taskhub.model.instance import InstanceState
    from taskhub.wiring import Storage

_LOOK_FOR_CALLER_SECONDS = 5.0
"""Between two looks at whether somebody who waits is still there. Without them a wait of a year would take one."""
_MAX_OTHER_HUBS = 64
"""Clients that are kept of hubs which requests named: any name makes one."""
_LEAST_POLL_SECONDS = 0.05
"""Whatever a caller asks for: one who polls without a pause would keep the storage from all others."""

logger = logging.getLogger(__name__)


class Hubs:
    """The clients of the hubs that requests may name: the app's own, and others in this or another account.

    Args:
        options: the app's hub and connection.
        own: client of the app's hub.
        storage: the account of that hub.
        open_connection: opens the account that a connection setting names.
        code: returns what the management URLs must carry as a key, ``code=…``; may change. Empty: none.
        webhook_path: where the management API is.
    """

    def __init__(
        self,
        options: DurableOptions,
        own: TaskHubClient,
        storage: Storage,
        open_connection: Callable[[str], Awaitable[Storage]],
        code: Callable[[], str] = str,
        *,
        webhook_path: str = routes.WEBHOOK_PATH,
    ) -> None:
        self._webhook_path = webhook_path
        self._options = options
        self._own = own
        self._open_connection = open_connection
        self._code = code
        self._storages = {self._setting(None): storage}
        self._clients: dict[tuple[str, str], TaskHubClient] = {}

    def __repr__(self) -> str:
        return f"<Hubs, own {self._options.hub.hub_name}, {len(self._clients)} others>"

    def is_own(self, target: routes.Target) -> bool:
        """Return whether a request is about the app's own hub."""
        return self._hub(target) == self._options.hub.hub_name and self._setting(target.connection) == self._setting(
            None
        )

    async def client(self, target: routes.Target) -> TaskHubClient:
        """Return the client of a hub.

        Raises:
            InvalidHubName: the hub's name is one that Azure would refuse.
            ConfigurationError: no setting of the connection's name says which account it is.
        """
        if self.is_own(target):
            return self._own
        hub, setting = self._hub(target), self._setting(target.connection)
        client = self._clients.get((hub, setting))
        if client is None:
            if setting not in self._storages:
                self._storages[setting] = await self._open_connection(setting)
            # How another hub's workers share its partitions does not concern a client.
            settings = dataclasses.replace(self._options.hub, hub_name=hub, partition_manager=None)
            client = TaskHubClient(self._storages[setting], settings)
            if len(self._clients) >= _MAX_OTHER_HUBS:
                del self._clients[next(iter(self._clients))]
            self._clients[hub, setting] = client
        return client

    def urls(self, target: routes.Target, origin: str) -> routes.Urls:
        """Return what makes the management URLs of a hub."""
        setting = target.connection or self._options.connection
        alias = DEFAULT_CONNECTION_ALIAS if setting == DEFAULT_CONNECTION else setting
        return routes.Urls(origin + self._webhook_path, self._hub(target), alias, self._code())

    async def aclose(self) -> None:
        """Close the accounts that requests made it open; the app's own belongs to whoever opened it."""
        for setting, storage in self._storages.items():
            if setting != self._setting(None):
                await storage.aclose()

    def _hub(self, target: routes.Target) -> str:
        return target.hub or self._options.hub.hub_name

    def _setting(self, connection: str | None) -> str:
        name = connection or self._options.connection
        return DEFAULT_CONNECTION if name.lower() == DEFAULT_CONNECTION_ALIAS.lower() else name


class Management:
    """Answers the requests of both doors.

    Args:
        hubs: the clients.
        application: knows which orchestrators exist.
        use_forwarded_host: see :func:`taskhub.host.routes.origin_of`.
    """

    def __init__(self, hubs: Hubs, application: FunctionsApplication, *, use_forwarded_host: bool = False) -> None:
        self._hubs = hubs
        self._application = application
        self._use_forwarded_host = use_forwarded_host

    async def handle(self, request: routes.Request) -> routes.Response:
        """Answer one request; never raises for what it holds or for trouble with storage."""
        command = routes.parse(request)
        if isinstance(command, routes.Response):
            return command
        try:
            return await self._carry_out(command, request)
        except UnknownFunction as error:
            return routes.argument_error(str(error))
        except InstanceExists as error:
            return routes.already_exists(error.status.name)
        except InvalidInstanceState as error:
            return routes.wrong_state(str(error))
        except (InvalidHubName, PayloadError) as error:
            return routes.argument_error(str(error))
        except ConfigurationError as error:
            return routes.internal_error(str(error))
        except TaskHubError as error:
            logger.warning("%s %s: %s", request.method, request.path, error)
            return routes.internal_error(str(error), "DurableTask.AzureStorage.Storage.DurableTaskStorageException")
        except ValueError as error:
            return routes.internal_error(str(error), "System.UriFormatException")

    async def _carry_out(self, command: routes.Command, request: routes.Request) -> routes.Response:
        client = await self._hubs.client(command.target)
        match command:
            case routes.Start():
                return await self._start(client, command, request)
            case routes.ReadStatus():
                return await _read_status(client, command, request)
            case routes.List():
                return await _list(client, command)
            case routes.Purge():
                state = await client.get(command.instance_id)
                return routes.refusal_of_purge(command, state) or routes.purged(await client.purge(command.instance_id))
            case routes.PurgeEnded():
                return routes.purged_ended((await client.purge_ended(command.filter)).instances)
            case routes.MakePrimary():
                await client.make_primary()
                return routes.DONE
            case routes.RaiseEvent():
                state = await client.get(command.instance_id)
                refusal = routes.refusal_of_event(command, state)
                if refusal is None:
                    await client.raise_event(command.instance_id, command.name, routes.event_payload(command))
                return refusal or routes.ACCEPTED
            case routes.Control():
                state = await client.get(command.instance_id)
                refusal = routes.refusal_of_control(command, state)
                if refusal is None:
                    act = {"terminate": client.terminate, "suspend": client.suspend, "resume": client.resume}
                    await act[command.operation](command.instance_id, command.reason)
                return refusal or routes.ACCEPTED
            case routes.Rewind():
                state = await client.get(command.instance_id, with_input=False, with_output=False)
                refusal = routes.refusal_of_rewind(command, state)
                if refusal is None:
                    await client.rewind(command.instance_id, command.reason)
                return refusal or routes.ACCEPTED
            case routes.Restart():
                return await self._restart(client, command, request)
            case routes.ReadEntity():
                return await _read_entity(client, command)
            case routes.ListEntities():
                return await _list_entities(client, command)
            case routes.SignalEntity():
                return await self._signal_entity(client, command, _trace(request))

    async def _start(self, client: TaskHubClient, command: routes.Start, request: routes.Request) -> routes.Response:
        if self._hubs.is_own(command.target):
            self._application.find_orchestrator(command.name)
        instance_id = await client.start(
            command.name,
            instance_id=command.instance_id,
            input=command.input,
            version=command.version,
            # With dashes, unlike all other execution ids: the reference's start route makes it itself.
            execution_id=ExecutionId(str(uuid.uuid4())),
            trace=_trace(request),
        )
        return await self._started(client, command, instance_id, request)

    async def _restart(
        self, client: TaskHubClient, command: routes.Restart, request: routes.Request
    ) -> routes.Response:
        state = await client.get(command.instance_id)
        refusal = routes.refusal_of_restart(command, state)
        if refusal is not None or state is None or state.name is None:
            return refusal or routes.NOT_FOUND
        if self._hubs.is_own(command.target):
            self._application.find_orchestrator(state.name)
        instance_id = await client.restart(
            state, with_new_id=command.with_new_id, new_id=command.new_id, version=command.version
        )
        return await self._started(client, command, instance_id, request)

    async def _signal_entity(
        self, client: TaskHubClient, command: routes.SignalEntity, trace: TraceContext | None
    ) -> routes.Response:
        if self._hubs.is_own(command.target):
            try:
                self._application.check_entity(command.called)
            except UnknownFunction as error:
                return routes.unknown_entity(str(error))
        await client.signal_entity(command.entity, command.operation, command.input, trace=trace)
        return routes.ACCEPTED

    async def _started(
        self,
        client: TaskHubClient,
        command: routes.Start | routes.Restart,
        instance_id: InstanceId,
        request: routes.Request,
    ) -> routes.Response:
        refusal = routes.refusal_of_wait(command)
        if refusal is not None:
            return refusal
        if command.wait is not None:
            state = await _wait(client, instance_id, command.wait, request)
            if state is not None and state.status is not None and state.status.is_terminal:
                return routes.waited_response(state, request.url)
        origin = routes.origin_of(request.origin, request.headers, use_forwarded_host=self._use_forwarded_host)
        return self._hubs.urls(command.target, origin).check_status(instance_id)


async def _wait(
    client: TaskHubClient, instance_id: InstanceId, wait: routes.Wait, request: routes.Request
) -> InstanceState | None:
    """Wait for an instance's end, for as long as the time is not over and the caller is there."""
    left = wait.timeout_seconds
    poll_seconds = max(wait.interval_seconds, _LEAST_POLL_SECONDS)
    while True:
        part = min(left, _LOOK_FOR_CALLER_SECONDS)
        state = await client.wait(instance_id, timeout_seconds=part, poll_seconds=poll_seconds)
        left -= part
        if left <= 0 or request.is_abandoned() or (state is not None and state.status and state.status.is_terminal):
            return state


async def _read_entity(client: TaskHubClient, command: routes.ReadEntity) -> routes.Response:
    return routes.entity_response(await client.read_entity(command.entity))


async def _list_entities(client: TaskHubClient, command: routes.ListEntities) -> routes.Response:
    empty = routes.no_entities(command)
    if empty is not None:
        return empty
    try:
        page = await client.list_entities(
            command.name,
            operated_from=command.operated_from,
            operated_to=command.operated_to,
            top=command.top,
            token=command.token,
            with_state=command.fetch_state,
        )
    except StorageRefused:
        if command.token is None:
            raise
        page = EntityPage((), None)  # as for instances
    return routes.list_entities_response(page)


async def _read_status(client: TaskHubClient, command: routes.ReadStatus, request: routes.Request) -> routes.Response:
    state = await client.get(command.instance_id, with_input=command.show_input)
    history: Sequence[HistoryEvent] | None = None
    if state is not None and command.show_history and state.status is not RuntimeStatus.Pending:
        history = await client.history(command.instance_id)
    return routes.status_response(command, state, history, request.url)


async def _list(client: TaskHubClient, command: routes.List) -> routes.Response:
    empty = routes.empty_page(command)
    if empty is not None:
        return empty
    try:
        page = await client.query(command.filter, top=command.top, token=command.token, with_input=command.show_input)
    except StorageRefused:
        if command.token is None:
            raise
        # A token that storage does not understand: the reference answers with an empty last page.
        page = InstancePage((), None)
    return routes.list_response(command, page)


def _trace(request: routes.Request) -> TraceContext | None:
    parent = request.headers.get("traceparent")
    return None if parent is None else TraceContext(parent, request.headers.get("tracestate"))
