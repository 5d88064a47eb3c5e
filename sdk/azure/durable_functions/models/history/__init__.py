"""Events of an execution's history."""

# From their own modules: the import system binds a module of the same name here when it is loaded, and loading it
# first lets the class win.
from azure.durable_functions.models.history.HistoryEvent import HistoryEvent
from azure.durable_functions.models.history.HistoryEventType import HistoryEventType

__all__ = [
    "HistoryEvent",
    "HistoryEventType",
]
