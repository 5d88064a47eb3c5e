"""Composition root: the only module that picks storage adapters.

Which store an app gets: what was asked for (``--storage``), else what its connection setting says, else the embedded
one. ``choose_store`` decides, ``open_storage`` opens; adapters are imported only when chosen, because the Azure clients
take longer to import than everything else together.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.errors import ConfigurationError

# Re-exported, with the next two: host and cli know storage only through here.
from taskhub.storage.port import QueueMessage as QueueMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.storage.port import BlobItem as BlobItem
    from taskhub.storage.port import Storage as Storage


DEFAULT_SETTING = "AzureWebJobsStorage"
EMULATOR = "UseDevelopmentStorage=true"
_EMULATOR_PORTS = (10000, 10001, 10002)
_IDENTITY_PARTS = {
    "accountName": "account_name",
    "blobServiceUri": "blob_service_uri",
    "queueServiceUri": "queue_service_uri",
    "tableServiceUri": "table_service_uri",
    "credential": "credential",
    "clientId": "client_id",
    "tenantId": "tenant_id",
    "clientSecret": "client_secret",
}
"""Parts of the group of settings ``NAME__…`` that stands for a connection by identity, and the adapter's names."""


@dataclass(frozen=True, slots=True)
class EmbeddedStore:
    """One SQLite file."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account, by connection string."""

    connection_string: str
    why: str


@dataclass(frozen=True, slots=True)
class IdentityAccount:
    """A storage account whose services are named one by one, entered with an identity."""

    parts: Mapping[str, str]
    """Arguments of :func:`taskhub.storage.azure.open_azure`, which checks that they are complete."""
    why: str


StoreChoice = EmbeddedStore | Account | IdentityAccount


async def open_storage(
    choice: str | None,
    *,
    app_settings: Mapping[str, str],
    app_root: Path | None,
    setting: str = DEFAULT_SETTING,
) -> Storage:
    """Choose a store and open it; see :func:`choose_store` for the arguments.

    Raises:
        ConfigurationError: the choice or its setting is wrong.
    """
    return await open_store(choose_store(choice, app_settings=app_settings, app_root=app_root, setting=setting))


async def open_store(chosen: StoreChoice) -> Storage:
    """Open what :func:`choose_store` chose.

    Raises:
        ConfigurationError: a connection string cannot be read.
    """
    match chosen:
        case EmbeddedStore(path):
            from taskhub.storage.sqlite import open_sqlite

            _prepare_folder(path.parent)
            return await open_sqlite(path)
        case Account(connection_string):
            from taskhub.storage.azure import open_azure

            return await open_azure(connection_string=connection_string)
        case IdentityAccount(parts):
            from taskhub.storage.azure import open_azure

            return await open_azure(**dict(parts))


def chosen_again(choice: StoreChoice, asked: str | None) -> str | None:
    """Return what to ask for in another process so that it gets this store, whatever listens by then.

    Args:
        choice: the store.
        asked: what was asked for when it was chosen.
    """
    if isinstance(choice, EmbeddedStore):
        return f"embedded:{choice.path.resolve()}"
    return "azurite" if _is_emulator(choice) else asked


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == ".taskhub":
        # Keeps the store out of version control without touching the app's own files.
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def emulator_is_listening() -> bool:
    """Return whether the three services of a local emulator accept connections."""
    return all(_accepts_connections(port) for port in _EMULATOR_PORTS)


def _accepts_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
    except OSError:
        return False
    return True


def choose_store(
    choice: str | None,
    *,
    app_settings: Mapping[str, str],
    app_root: Path | None,
    setting: str = DEFAULT_SETTING,
    emulator: Callable[[], bool] = emulator_is_listening,
) -> StoreChoice:
    """Return which store to open, and why in words for the console.

    Args:
        choice: ``embedded``, ``embedded:PATH``, ``azurite``, the name of a setting, or ``None`` for what is configured.
        app_settings: where settings are looked up, ignoring case.
        app_root: folder of the app, in which the embedded store lives; ``None``: the current one.
        setting: the connection that is configured.
        emulator: whether a local emulator is listening; asked only when it matters.

    Raises:
        ConfigurationError: the choice means nothing, or its setting does not exist.
    """
    root = app_root or Path()
    if choice is None:
        return _configured(app_settings, root, setting, emulator)
    kind, _, path = choice.partition(":")
    if kind.lower() == "embedded":
        return EmbeddedStore(Path(path) if path else _default_path(root), "as asked for")
    if choice.lower() == "azurite":
        return Account(EMULATOR, "as asked for")
    if "=" in choice:
        raise ConfigurationError(
            "--storage takes the name of a setting, not a connection string. "
            "Put the string into local.settings.json or the environment, and give its name here."
        )
    found = _account(app_settings, choice, "as asked for")
    if found is None:
        raise ConfigurationError(
            f"--storage names '{choice}', but there is no setting of that name. Add it to local.settings.json or the "
            "environment, or use embedded, embedded:PATH or azurite."
        )
    return found


def _configured(settings: Mapping[str, str], root: Path, setting: str, emulator: Callable[[], bool]) -> StoreChoice:
    found = _account(settings, setting, f"from {setting}")
    if found is None:
        if setting != DEFAULT_SETTING and find_setting(settings, setting) is None:
            raise ConfigurationError(
                f"Unable to resolve the Azure Storage connection named '{setting}'. Add the setting '{setting}' to "
                "local.settings.json or the environment."
            )
        return EmbeddedStore(_default_path(root), f"because {setting} is not set")
    if _is_emulator(found) and not emulator():
        why = f"because {setting} is {EMULATOR} and no emulator is listening"
        return EmbeddedStore(_default_path(root), why)
    return found


def _default_path(root: Path) -> Path:
    return root / ".taskhub" / "hub.db"


def _account(settings: Mapping[str, str], name: str, why: str) -> Account | IdentityAccount | None:
    for candidate in (name, f"ConnectionStrings:{name}", f"ConnectionStrings__{name}", f"AzureWebJobs{name}"):
        text = (find_setting(settings, candidate) or "").strip()
        if text:
            return Account(text, why)
    parts = {argument: value for part, argument in _IDENTITY_PARTS.items() if (value := _part(settings, name, part))}
    if not parts.keys() - {"credential", "client_id", "tenant_id", "client_secret"}:
        return None
    return IdentityAccount(parts, why)


def _part(settings: Mapping[str, str], name: str, part: str) -> str | None:
    return find_setting(settings, f"{name}__{part}") or find_setting(settings, f"{name}:{part}")


def find_setting(settings: Mapping[str, str], name: str) -> str | None:
    """Return an app setting, ignoring case; ``None`` when there is none."""
    value = settings.get(name)
    if value is None:
        value = next((value for key, value in settings.items() if key.lower() == name.lower()), None)
    return value


def _is_emulator(found: StoreChoice) -> bool:
    return isinstance(found, Account) and found.connection_string.rstrip(";").lower() == EMULATOR.lower()
