"""Durable Functions for Python: orchestrations, activities and entities as plain functions.

Usually imported as ``df``::

    import azure.durable_functions as df

    app = df.DFApp()


    @app.orchestration_trigger(context_name="context")
    def greet(context: df.DurableOrchestrationContext):
        return (yield context.call_activity("hello", "Oslo"))

Names are loaded when they are first used: importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from azure.durable_functions._host_checks import DurableFunctionsCompatibilityWarning, warn_of_old_bundle
from azure.durable_functions._stand_in import stand_in

if TYPE_CHECKING:
    from azure.durable_functions import constants as constants
    from azure.durable_functions import decorators as decorators
    from azure.durable_functions import entity as entity
    from azure.durable_functions import errors as errors
    from azure.durable_functions import models as models
    from azure.durable_functions import orchestrator as orchestrator
    from azure.durable_functions._client.blocking import SyncDurableFunctionsClient
    from azure.durable_functions._client.errors import DurableClientError
    from azure.durable_functions._client.newer_names import DurableFunctionsClient
    from azure.durable_functions._replay.functions import ActivityFunction, OrchestratorFunction
    from azure.durable_functions.activity import Activity
    from azure.durable_functions.decorators.durable_app import Blueprint, DFApp
    from azure.durable_functions.entity import Entity
    from azure.durable_functions.errors import (
        CorruptHistoryError,
        FailureDetails,
        ForeignAwaitableError,
        FunctionNotFoundError,
        LockingRulesError,
        MalformedContextError,
        NonDeterminismError,
        PayloadDecodeError,
        TaskFailedError,
        UnsupportedByHostError,
    )
    from azure.durable_functions.models.DurableEntity import DurableEntity
    from azure.durable_functions.models.DurableEntityContext import DurableEntityContext
    from azure.durable_functions.models.DurableHttpRequest import DurableHttpRequest
    from azure.durable_functions.models.DurableHttpResponse import DurableHttpResponse
    from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient
    from azure.durable_functions.models.DurableOrchestrationContext import DurableOrchestrationContext
    from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
    from azure.durable_functions.models.EntityStateResponse import EntityStateResponse
    from azure.durable_functions.models.OrchestrationRuntimeStatus import OrchestrationRuntimeStatus
    from azure.durable_functions.models.PurgeHistoryResult import PurgeHistoryResult
    from azure.durable_functions.models.RetryOptions import HttpRetryOptions, RetryOptions, RetryPolicy
    from azure.durable_functions.models.Task import Task, TaskBase
    from azure.durable_functions.models.TokenSource import ManagedIdentityTokenSource, TokenSource
    from azure.durable_functions.models.utils.entity_utils import EntityId
    from azure.durable_functions.orchestrator import Orchestrator

__all__ = [
    "Orchestrator",
    "Entity",
    "EntityId",
    "DurableOrchestrationClient",
    "DurableEntityContext",
    "DurableOrchestrationContext",
    "DurableFunctionsCompatibilityWarning",
    "ManagedIdentityTokenSource",
    "OrchestrationRuntimeStatus",
    "RetryOptions",
    "DFApp",
    "Blueprint",
    # Not in the reference 1.7.0; most are names of its 2.x preview.
    "Activity",
    "ActivityFunction",
    "CorruptHistoryError",
    "DurableClientError",
    "DurableEntity",
    "DurableFunctionsClient",
    "DurableHttpRequest",
    "DurableHttpResponse",
    "DurableOrchestrationStatus",
    "EntityStateResponse",
    "FailureDetails",
    "ForeignAwaitableError",
    "FunctionNotFoundError",
    "HttpRetryOptions",
    "LockingRulesError",
    "MalformedContextError",
    "NonDeterminismError",
    "OrchestratorFunction",
    "PayloadDecodeError",
    "PurgeHistoryResult",
    "RetryPolicy",
    "SyncDurableFunctionsClient",
    "Task",
    "TaskBase",
    "TaskFailedError",
    "TokenSource",
    "UnsupportedByHostError",
]

_HOMES = {
    "Activity": "activity",
    "Orchestrator": "orchestrator",
    "Entity": "entity",
    "EntityId": "models.utils.entity_utils",
    "DurableOrchestrationClient": "models.DurableOrchestrationClient",
    "DurableEntityContext": "models.DurableEntityContext",
    "DurableOrchestrationContext": "models.DurableOrchestrationContext",
    "ManagedIdentityTokenSource": "models.TokenSource",
    "OrchestrationRuntimeStatus": "models.OrchestrationRuntimeStatus",
    "RetryOptions": "models.RetryOptions",
    "DFApp": "decorators.durable_app",
    "Blueprint": "decorators.durable_app",
    "DurableClientError": "_client.errors",
    "DurableEntity": "models.DurableEntity",
    "DurableFunctionsClient": "_client.newer_names",
    "DurableHttpRequest": "models.DurableHttpRequest",
    "DurableHttpResponse": "models.DurableHttpResponse",
    "DurableOrchestrationStatus": "models.DurableOrchestrationStatus",
    "EntityStateResponse": "models.EntityStateResponse",
    "ActivityFunction": "_replay.functions",
    "CorruptHistoryError": "errors",
    "FailureDetails": "errors",
    "ForeignAwaitableError": "errors",
    "FunctionNotFoundError": "errors",
    "LockingRulesError": "errors",
    "MalformedContextError": "errors",
    "NonDeterminismError": "errors",
    "PayloadDecodeError": "errors",
    "TaskFailedError": "errors",
    "UnsupportedByHostError": "errors",
    "PurgeHistoryResult": "models.PurgeHistoryResult",
    "OrchestratorFunction": "_replay.functions",
    "HttpRetryOptions": "models.RetryOptions",
    "RetryPolicy": "models.RetryOptions",
    "SyncDurableFunctionsClient": "_client.blocking",
    "Task": "models.Task",
    "TaskBase": "models.Task",
    "TokenSource": "models.TokenSource",
}

# Modules that the reference loads with the package, so that apps reach them as attributes.
_MODULES = frozenset({"constants", "decorators", "entity", "errors", "models", "orchestrator"})


if not TYPE_CHECKING:  # to type checkers there is nothing but the names above

    def __getattr__(name: str) -> Any:
        """Load a name on first use."""
        if name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        elif name in _MODULES:
            value = importlib.import_module(f"{__name__}.{name}")
        elif name == "openai_agents":
            try:
                value = importlib.import_module(f"{__name__}.{name}")
            except ImportError as error:  # an optional library is missing; to ask whether it is there must not fail
                raise AttributeError(str(error)) from error
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))})


warn_of_old_bundle()
stand_in()
