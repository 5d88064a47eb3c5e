"""What is known of an entity."""

from azure.durable_functions._client.answers import EntityStateResponse

__all__ = ["EntityStateResponse"]
