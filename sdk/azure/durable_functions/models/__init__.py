"""The classes of the package, one module each.

The classes below take the place of the modules of the same name as attributes, as in the reference; the modules of
the others are attributes too, loaded when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from azure.durable_functions.models import DurableOrchestrationStatus as DurableOrchestrationStatus
    from azure.durable_functions.models import EntityStateResponse as EntityStateResponse
    from azure.durable_functions.models import FunctionContext as FunctionContext
    from azure.durable_functions.models import ReplaySchema as ReplaySchema
    from azure.durable_functions.models import RpcManagementOptions as RpcManagementOptions
    from azure.durable_functions.models import Task as Task
    from azure.durable_functions.models import TaskOrchestrationExecutor as TaskOrchestrationExecutor
    from azure.durable_functions.models import TokenSource as TokenSource
    from azure.durable_functions.models import actions as actions
    from azure.durable_functions.models import entities as entities
    from azure.durable_functions.models import history as history
    from azure.durable_functions.models import utils as utils

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


if not TYPE_CHECKING:  # to type checkers there is nothing but the names above

    def __getattr__(name: str) -> Any:
        """Load a module on first use."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})
