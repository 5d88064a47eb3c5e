"""Deep import path of the reference."""

from azure.durable_functions._replay.retry import HttpRetryOptions, RetryOptions, RetryPolicy

__all__ = ["HttpRetryOptions", "RetryOptions", "RetryPolicy"]
