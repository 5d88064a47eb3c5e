"""A task hub for Durable Functions in Python, wire compatible with DurableTask.AzureStorage."""

from __future__ import annotations

from taskhub.client import TaskHubClient
from taskhub.errors import (
    ConfigurationError,
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
