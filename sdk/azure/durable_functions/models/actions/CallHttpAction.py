"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import CallHttpAction

__all__ = ["CallHttpAction"]
