"""Events of an execution's history."""

from azure.durable_functions._replay.history import HistoryEvent, HistoryEventType

__all__ = ["HistoryEvent", "HistoryEventType"]
