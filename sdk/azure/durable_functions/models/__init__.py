"""The classes of the package, one module each.

The classes below take the place of the modules of the same name as attributes, as in the reference; the modules of
the others are attributes too, loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import Any

from azure.durable_functions.models.DurableEntityContext import DurableEntityContext
from azure.durable_functions.models.DurableHttpRequest import DurableHttpRequest
from azure.durable_functions.models.DurableOrchestrationBindings import DurableOrchestrationBindings
from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient
from azure.durable_functions.models.DurableOrchestrationContext import DurableOrchestrationContext
from azure.durable_functions.models.OrchestrationRuntimeStatus import OrchestrationRuntimeStatus
from azure.durable_functions.models.OrchestratorState import OrchestratorState
from azure.durable_functions.models.PurgeHistoryResult import PurgeHistoryResult
from azure.durable_functions.models.RetryOptions import RetryOptions
from azure.durable_functions.models.Task import TaskBase
from azure.durable_functions.models.TokenSource import ManagedIdentityTokenSource

__all__ = [
    "DurableOrchestrationBindings",
    "DurableOrchestrationClient",
    "DurableEntityContext",
    "DurableOrchestrationContext",
    "DurableHttpRequest",
    "ManagedIdentityTokenSource",
    "OrchestratorState",
    "OrchestrationRuntimeStatus",
    "PurgeHistoryResult",
    "RetryOptions",
    "TaskBase",
]

_MODULES = frozenset(
    {
        "DurableOrchestrationStatus",
        "EntityStateResponse",
        "FunctionContext",
        "ReplaySchema",
        "RpcManagementOptions",
        "Task",
        "TaskOrchestrationExecutor",
        "TokenSource",
        "actions",
        "entities",
        "history",
        "utils",
    }
)


def __getattr__(name: str) -> Any:
    """Load a module on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
