"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import WaitForExternalEventAction

__all__ = ["WaitForExternalEventAction"]
