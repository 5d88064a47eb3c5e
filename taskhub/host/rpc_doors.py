"""The door through which the durable clients of an app reach the task hub: HTTP or gRPC, as its SDK speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskhub.host.routes import Target
from taskhub.host.server import Listener, RpcDoor, bind_rpc_port

if TYPE_CHECKING:
    from taskhub.host.durable_options import DurableOptions, GrpcOptions
    from taskhub.host.local_door import LocalDoor
    from taskhub.host.management import Hubs, Management
    from taskhub.host.official_sdk import Sdk


class BoundDoor(Protocol):
    """The durable client's door, bound to a port."""

    @property
    def port(self) -> int:
        """That clients are told."""

    async def start(self, hubs: Hubs, management: Management) -> None:
        """Begin to answer."""

    async def stop(self) -> None:
        """Answer nobody any more."""


class _HttpRpc:
    """For clients that speak JSON over HTTP; those of our SDK ask without it, where they run in this process."""

    def __init__(self, *, is_ours: bool) -> None:
        self._socket = bind_rpc_port()
        self.port: int = self._socket.getsockname()[1]
        self._is_ours = is_ours
        self._listener: Listener | None = None
        self._local: LocalDoor | None = None

    async def start(self, hubs: Hubs, management: Management) -> None:
        self._listener = Listener([self._socket], RpcDoor(management.handle))
        await self._listener.start()
        if self._is_ours:
            from taskhub.host.local_door import LocalDoor  # of the app's SDK, which may be another

            self._local = LocalDoor(self.port, management.handle)
            self._local.open()

    async def stop(self) -> None:
        if self._local is not None:
            self._local.close()
        if self._listener is not None:
            await self._listener.stop(grace_seconds=0)


class _GrpcRpc:
    """For clients that speak gRPC."""

    def __init__(self, options: GrpcOptions) -> None:
        from taskhub.host.protobuf.door import GrpcDoor  # most hosts do without
        from taskhub.host.protobuf.schema import load_grpc, load_messages
        from taskhub.host.protobuf.service import SidecarService

        messages = load_messages()
        self._door = GrpcDoor(load_grpc(), messages, max_message_bytes=options.max_message_bytes)
        self._service = SidecarService(messages, refuses_events=options.refuses_events)
        self.port: int = self._door.port

    async def start(self, hubs: Hubs, management: Management) -> None:
        await self._door.start(self._service, lambda hub, connection: hubs.client(Target(hub, connection)))

    async def stop(self) -> None:
        await self._door.stop()


def rpc_door(sdk: Sdk, options: DurableOptions) -> BoundDoor:
    """Return the door for the clients of an SDK, bound to a port.

    Raises:
        ConfigurationError: no port is free, or the environment lacks what the door needs.
    """
    return _GrpcRpc(options.grpc) if sdk.speaks_grpc else _HttpRpc(is_ours=sdk.is_ours)
