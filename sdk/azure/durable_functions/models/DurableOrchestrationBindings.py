"""What the host tells a durable client."""

from azure.durable_functions._client.bindings import DurableOrchestrationBindings

__all__ = ["DurableOrchestrationBindings"]
