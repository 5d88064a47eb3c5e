"""Opens the task hub that a command is about, as the app's host would."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import typer

from taskhub.client import TaskHubClient
from taskhub.errors import ConfigurationError, TaskHubError
from taskhub.host.configuration import load_configuration
from taskhub.wiring import EmbeddedStore, choose_store, open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HubOptions:
    """Which hub, as told on the command line."""

    app_root: Path
    hub: str | None
    storage: str | None


def with_hub(options: HubOptions, act: Callable[[TaskHubClient], Awaitable[_T]]) -> _T:
    """Open the hub, do something with its client, close it; end the command with a message when that fails."""
    try:
        return asyncio.run(_with_hub(options, act))
    except TaskHubError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error


async def _with_hub(options: HubOptions, act: Callable[[TaskHubClient], Awaitable[_T]]) -> _T:
    root = options.app_root.resolve()
    configuration = load_configuration(root, os.environ, hub=options.hub)
    store = choose_store(
        options.storage,
        app_settings=configuration.settings,
        app_root=root,
        setting=configuration.durable.connection,
    )
    if isinstance(store, EmbeddedStore) and not store.path.is_file():
        raise ConfigurationError(
            f"There is no embedded store {store.path} ({store.why}). "
            "Start the app first, or say with --app or --storage where its task hub is."
        )
    storage = await open_store(store)
    try:
        return await act(TaskHubClient(storage, configuration.durable.hub))
    finally:
        await storage.aclose()
