"""Deep import path of the reference."""

from azure.durable_functions._replay.shell import TaskOrchestrationExecutor

__all__ = ["TaskOrchestrationExecutor"]
