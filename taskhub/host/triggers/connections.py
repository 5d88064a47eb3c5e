"""The storage accounts that an app's triggers and bindings name, each opened once.

A connection is the name of a setting, ``AzureWebJobsStorage`` if none is given. What is kept in the embedded store
there, because nothing else is configured or listens, is the very store of the task hub.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.runtime.environment import Environment
from taskhub.runtime.outages import StorageHealth
from taskhub.wiring import DEFAULT_SETTING, Account, EmbeddedStore, IdentityAccount, choose_store, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from taskhub.wiring import Storage, StoreChoice


@dataclass(frozen=True, slots=True)
class Connection:
    """One account, and how it is."""

    storage: Storage
    health: StorageHealth

    @classmethod
    def of(cls, storage: Storage, environment: Environment) -> Connection:
        """Watch a store."""
        health = StorageHealth(environment, storage.description)
        return cls(health.watching(storage), health)


class Connections:
    """See the module.

    Args:
        main: the store of the task hub, which stays open.
        choice: how it was chosen.
        settings: app settings.
        app_root: folder of the app.
        main_settings: further names of settings that stand for it, whatever they say.
        environment: of the process.
    """

    def __init__(
        self,
        main: Storage,
        choice: StoreChoice,
        *,
        settings: Mapping[str, str],
        app_root: Path,
        main_settings: frozenset[str] = frozenset(),
        environment: Environment | None = None,
    ) -> None:
        self.environment = environment or Environment()
        self._settings = settings
        self._app_root = app_root
        self._main_settings = {name.lower() for name in main_settings}
        self._main = Connection.of(main, self.environment)
        self._main_key = _key(choice)
        self._opened: dict[object, Connection] = {}
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Connections, {len(self._opened)} besides the main one>"

    async def get(self, name: str | None = None) -> Connection:
        """Return a connection by the name of its setting.

        Raises:
            ConfigurationError: there is no such setting, or it makes no sense.
        """
        name = name or DEFAULT_SETTING
        if name.lower() in self._main_settings:
            return self._main
        choice = choose_store(None, app_settings=self._settings, app_root=self._app_root, setting=name)
        key = _key(choice)
        if key == self._main_key:
            return self._main
        async with self._lock:  # two that open the same must not both do it
            if key not in self._opened:
                storage = await open_store(choice)
                self._opened[key] = Connection.of(storage, self.environment)
            return self._opened[key]

    async def aclose(self) -> None:
        """Close all but the main one."""
        for connection in self._opened.values():
            await connection.storage.aclose()
        self._opened.clear()


def check_connection(name: str | None, settings: Mapping[str, str], app_root: Path) -> None:
    """Raise ConfigurationError when no setting is there for a connection."""
    choose_store(None, app_settings=settings, app_root=app_root, setting=name or DEFAULT_SETTING, emulator=lambda: True)


def _key(choice: StoreChoice) -> object:
    """Return what is equal for choices of the same account."""
    match choice:
        case EmbeddedStore():
            return "embedded"
        case Account(connection_string):
            return connection_string.strip().rstrip(";").lower()
        case IdentityAccount(parts):
            return frozenset(parts.items())
