"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import ContinueAsNewAction

__all__ = ["ContinueAsNewAction"]
