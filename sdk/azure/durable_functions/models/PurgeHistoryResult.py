"""What a purge has removed."""

from azure.durable_functions._client.answers import PurgeHistoryResult

__all__ = ["PurgeHistoryResult"]
