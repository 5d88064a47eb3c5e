"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import CompoundAction

__all__ = ["CompoundAction"]
