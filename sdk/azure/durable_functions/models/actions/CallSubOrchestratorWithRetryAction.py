"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import CallSubOrchestratorWithRetryAction

__all__ = ["CallSubOrchestratorWithRetryAction"]
