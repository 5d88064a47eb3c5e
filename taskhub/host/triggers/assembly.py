"""Puts the parts together by which the functions of one process read, write and wait for storage."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.host.identity import WorkerIdentity
from taskhub.host.triggers.blob_paths import is_container_key
from taskhub.host.triggers.connections import Connections
from taskhub.host.triggers.host_id import host_id_of
from taskhub.host.triggers.listeners import Listeners
from taskhub.host.triggers.storage_bindings import StorageBindings
from taskhub.wiring import DEFAULT_SETTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.configuration import HostConfiguration
    from taskhub.host.invoker import Invoker
    from taskhub.wiring import Storage, StoreChoice


@dataclass(slots=True)
class AppStorage:
    """An app's own use of storage, besides the task hub's.

    Bindings come first, as an invoker needs them; listeners need the invoker.
    """

    configuration: HostConfiguration
    connections: Connections
    bindings: StorageBindings
    listeners: Listeners | None = None
    wake_others: Callable[[str], None] | None = None
    """Tells other processes of the host what has something new."""
    _identity: WorkerIdentity | None = None

    @classmethod
    def of(
        cls, configuration: HostConfiguration, main: Storage, choice: StoreChoice, *, asked: str | None
    ) -> AppStorage:
        """Return it without listeners.

        Args:
            configuration: of the app.
            main: store of the task hub.
            choice: how that was chosen.
            asked: ``--storage``; then the app's default connection is that store too, whatever its setting says.
        """
        connections = Connections(
            main,
            choice,
            settings=configuration.settings,
            app_root=configuration.app_root,
            main_settings=frozenset({DEFAULT_SETTING, configuration.durable.connection} if asked else ()),
        )

        is_base64 = configuration.queues.is_base64
        made = cls(
            configuration,
            connections,
            StorageBindings(connections, is_base64=is_base64, wake=lambda key: made.wake(key)),
        )
        return made

    def wake(self, key: str) -> None:
        """Have a queue or a container looked at: something was put there."""
        is_read_here = self.listeners is not None and self.listeners.wake(key)
        # A queue is read by whoever knows of it, a container only by the one that holds the lease.
        if self.wake_others is not None and (not is_read_here or is_container_key(key)):
            self.wake_others(key)

    def listen_with(
        self,
        invoker: Invoker,
        plans: Iterable[CallPlan],
        client_payload: Callable[[Mapping[str, Any]], str],
        *,
        number: int | None = 0,
    ) -> Listeners:
        """Make the listeners of this process.

        Args:
            invoker: runs functions.
            plans: functions of the app.
            client_payload: makes the text of a durable client binding from its properties.
            number: of this process among the worker processes of a host; ``None`` when they listen, and not this one.
        """
        configuration = self.configuration
        host_id = host_id_of(configuration.settings, machine=platform.node(), app_root=str(configuration.app_root))
        if number is not None:
            self._identity = WorkerIdentity(configuration.app_root, f"listeners of {host_id}", number)
        self.listeners = Listeners(
            plans,
            invoker,
            self.connections,
            client_payload=client_payload,
            settings=configuration.settings,
            queues=configuration.queues,
            blobs=configuration.blobs,
            host_id=host_id,
            holder=self._identity.id if self._identity else "",
            receipts=self._identity.receipts if self._identity else None,
        )
        return self.listeners

    async def aclose(self) -> None:
        """Close what was opened."""
        await self.connections.aclose()
        if self._identity is not None:
            self._identity.release()
            self._identity = None
