"""What is known of an instance."""

from azure.durable_functions._client.status import DurableOrchestrationStatus

__all__ = ["DurableOrchestrationStatus"]
