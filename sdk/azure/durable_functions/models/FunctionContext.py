"""Deep import path of the reference."""

from azure.durable_functions._replay.context import FunctionContext

__all__ = ["FunctionContext"]
