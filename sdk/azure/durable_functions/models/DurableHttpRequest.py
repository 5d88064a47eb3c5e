"""Deep import path of the reference."""

from azure.durable_functions._replay.http import DurableHttpRequest

__all__ = ["DurableHttpRequest"]
