"""Deep import path of the reference."""

from azure.durable_functions._replay.state import OrchestratorState

__all__ = ["OrchestratorState"]
