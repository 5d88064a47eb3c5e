"""The states that an instance can be in."""

from azure.durable_functions._client.status import OrchestrationRuntimeStatus

__all__ = ["OrchestrationRuntimeStatus"]
