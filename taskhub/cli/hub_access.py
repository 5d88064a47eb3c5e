"""Opens the task hub that a command is about, as the app's host would."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from taskhub.cli.output import fail
from taskhub.client import TaskHubClient
from taskhub.errors import ConfigurationError, TaskHubError
from taskhub.hints import HintSender, PeerSettings
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


def with_hub(options: HubOptions, act: Callable[[TaskHubClient], Awaitable[_T]], *, creates: bool = False) -> _T:
    """Open the hub, do something with its client, close it; end the command with a message when that fails.

    Args:
        options: which hub.
        act: what to do.
        creates: whether an embedded store that does not exist is made; else that is an error.
    """
    try:
        return asyncio.run(_with_hub(options, act, creates=creates))
    except TaskHubError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("Interrupted.", code=130)


async def _with_hub(options: HubOptions, act: Callable[[TaskHubClient], Awaitable[_T]], *, creates: bool) -> _T:
    root = options.app_root.resolve()
    configuration = load_configuration(root, os.environ, hub=options.hub)
    store = choose_store(
        options.storage,
        app_settings=configuration.settings,
        app_root=root,
        setting=configuration.durable.connection,
    )
    if isinstance(store, EmbeddedStore) and not store.path.is_file() and not creates:
        raise ConfigurationError(
            f"There is no embedded store {store.path} ({store.why}). "
            "Start the app first, or say with --app or --storage where its task hub is."
        )
    peers = PeerSettings.of(configuration.settings)
    storage = await open_store(store)
    hub = configuration.durable.hub
    # The app's host may be idle and look at its queues twice a minute.
    sender = HintSender(storage.description, hub.hub_name, remote=peers)
    try:
        return await act(TaskHubClient(storage, hub, wake=sender.hint))
    finally:
        sender.close()
        await storage.aclose()
