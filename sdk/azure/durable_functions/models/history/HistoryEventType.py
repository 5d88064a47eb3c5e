"""Deep import path of the reference."""

from azure.durable_functions._replay.history import HistoryEventType

__all__ = ["HistoryEventType"]
