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

Task = TaskBase
"""The name for annotations: ``Task[str]`` is one whose result is a text."""

__all__ = [
    "Task",
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
