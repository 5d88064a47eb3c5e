"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import WhenAllAction

__all__ = ["WhenAllAction"]
