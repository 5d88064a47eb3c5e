"""Deep import path of the reference."""

from azure.durable_functions._replay.actions import Action

__all__ = ["Action"]
