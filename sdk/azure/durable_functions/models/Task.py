"""Tasks, at the deep import path of the reference."""

from azure.durable_functions._replay.tasks import TaskState, TaskBase, CompoundTask, AtomicTask, TimerTask, WhenAllTask, LongTimerTask, WhenAnyTask, RetryAbleTask

__all__ = ["TaskState", "TaskBase", "CompoundTask", "AtomicTask", "TimerTask", "WhenAllTask", "LongTimerTask", "WhenAnyTask", "RetryAbleTask"]
