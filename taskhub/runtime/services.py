"""What clients and workers of one process share of a hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.names import HubNames
from taskhub.runtime.clock import Signal
from taskhub.runtime.dead_letters import DeadLetters
from taskhub.runtime.history_store import HistoryStore
from taskhub.runtime.hub import Hub
from taskhub.runtime.instance_store import InstanceStore
from taskhub.runtime.large_values import LargeValues
from taskhub.runtime.messenger import Messenger
from taskhub.runtime.outages import StorageHealth

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.runtime.environment import Environment
    from taskhub.settings import TaskHubSettings
    from taskhub.storage.port import Storage


@dataclass(frozen=True, slots=True)
class Services:
    """One hub, as one process reaches it."""

    storage: Storage
    settings: TaskHubSettings
    environment: Environment
    names: HubNames
    health: StorageHealth
    hub: Hub
    large: LargeValues
    dead_letters: DeadLetters
    messenger: Messenger
    history: HistoryStore
    instances: InstanceStore
    lease_wanted: Signal
    """Raised to let a worker in this process try for the app lease now."""

    @classmethod
    def of(
        cls,
        storage: Storage,
        settings: TaskHubSettings,
        environment: Environment,
        *,
        wake: Callable[[str, float], object],
    ) -> Services:
        """Put the parts together.

        Args:
            storage: where the hub lies.
            settings: of the hub.
            environment: of the process.
            wake: called with the queue of every message that is sent and the seconds after which it is visible.
        """
        names = HubNames.of(settings.hub_name)
        health = StorageHealth(environment, storage.description)
        storage = health.watching(storage)
        large = LargeValues(storage.blobs, names, environment, health)
        return cls(
            storage=storage,
            settings=settings,
            environment=environment,
            names=names,
            health=health,
            hub=Hub(
                storage,
                names,
                environment,
                partition_count=settings.partition_count,
                partition_manager=settings.partition_manager,
            ),
            large=large,
            dead_letters=DeadLetters(storage.blobs, names, environment),
            messenger=Messenger(
                storage.queues,
                names,
                large,
                environment,
                partition_count=settings.partition_count,
                base64=settings.base64_messages,
                wake=wake,
            ),
            history=HistoryStore(storage.tables, names, large, environment, health),
            instances=InstanceStore(storage.tables, names, large, environment),
            lease_wanted=Signal(),
        )
