"""Deep import path of the reference."""

from azure.durable_functions._replay.history import HistoryEvent

__all__ = ["HistoryEvent"]
