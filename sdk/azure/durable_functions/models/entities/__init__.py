"""Values that entities exchange with the host."""

from azure.durable_functions.models.entities.EntityState import EntityState
from azure.durable_functions.models.entities.OperationResult import OperationResult
from azure.durable_functions.models.entities.RequestMessage import RequestMessage
from azure.durable_functions.models.entities.Signal import Signal

__all__ = ["RequestMessage", "OperationResult", "EntityState", "Signal"]
