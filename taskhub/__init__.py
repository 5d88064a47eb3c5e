"""A task hub for Durable Functions in Python, wire compatible with DurableTask.AzureStorage.

Names are loaded when they are first used: commands start sooner, and can look at the environment before what depends on
it is imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskhub.client import TaskHubClient
    from taskhub.errors import (
        ConfigurationError,
        DeadLetterNotFound,
        HubInUse,
        InstanceExists,
        InstanceNotFound,
        InvalidHubName,
        InvalidInstanceState,
        PayloadError,
        StorageError,
        TaskHubError,
        TransientStorageError,
        UnknownFunction,
    )
    from taskhub.runtime.worker import Worker
    from taskhub.settings import TaskHubSettings

__all__ = [
    "ConfigurationError",
    "DeadLetterNotFound",
    "HubInUse",
    "InstanceExists",
    "InstanceNotFound",
    "InvalidHubName",
    "InvalidInstanceState",
    "PayloadError",
    "StorageError",
    "TaskHubClient",
    "TaskHubError",
    "TaskHubSettings",
    "TransientStorageError",
    "UnknownFunction",
    "Worker",
]

_HOMES = {
    "ConfigurationError": "errors",
    "DeadLetterNotFound": "errors",
    "HubInUse": "errors",
    "InstanceExists": "errors",
    "InstanceNotFound": "errors",
    "InvalidHubName": "errors",
    "InvalidInstanceState": "errors",
    "PayloadError": "errors",
    "StorageError": "errors",
    "TaskHubClient": "client",
    "TaskHubError": "errors",
    "TaskHubSettings": "settings",
    "TransientStorageError": "errors",
    "UnknownFunction": "errors",
    "Worker": "runtime.worker",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
