"""Deep import path of the reference."""

from azure.durable_functions._replay.schema import ReplaySchema

__all__ = ["ReplaySchema"]
