"""Tasks, at the deep import path of the reference."""

from azure.durable_functions._replay.tasks import (
    AtomicTask,
    CompoundTask,
    LongTimerTask,
    RetryAbleTask,
    TaskBase,
    TaskState,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
)

__all__ = [
    "TaskState",
    "TaskBase",
    "CompoundTask",
    "AtomicTask",
    "TimerTask",
    "WhenAllTask",
    "LongTimerTask",
    "WhenAnyTask",
    "RetryAbleTask",
]
