"""Deep import path of the reference."""

from azure.durable_functions._replay.retry import RetryOptions, RetryPolicy

__all__ = ["RetryOptions", "RetryPolicy"]
