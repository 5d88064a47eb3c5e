"""Every error that leaves the package, named for what the caller can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.model.ids import InstanceId
    from taskhub.model.instance import RuntimeStatus


class TaskHubError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(TaskHubError):
    """A setting, name or file is wrong; the message names it, the limit and the fix."""


class InvalidHubName(ConfigurationError):
    """The task hub name is one that Azure Storage would refuse."""


class HubInUse(TaskHubError):
    """Workers hold partitions of the hub: stop them first."""


class HubMismatch(ConfigurationError):
    """The hub in storage is laid out otherwise than the settings say; the message tells both and the fix."""


class InstanceNotFound(TaskHubError):
    """No instance has this id."""


class InstanceExists(TaskHubError):
    """A live instance already has this id.

    Args:
        instance_id: the id.
        status: what the instance that has it is doing.
    """

    def __init__(self, instance_id: InstanceId, status: RuntimeStatus) -> None:
        super().__init__(f"instance '{instance_id}' exists and is {status.name}; start another one or wait for its end")
        self.instance_id = instance_id
        self.status = status


class DeadLetterNotFound(TaskHubError):
    """No message with this id is parked."""


class InvalidInstanceState(TaskHubError):
    """The instance is in a state in which this operation is not possible."""


class UnknownFunction(TaskHubError):
    """The app has no function of this name and kind."""


class PayloadError(TaskHubError):
    """A value cannot be encoded, decoded or stored; the message says which one."""


class MalformedMessage(PayloadError):
    """A queue message or row is not in the reference's layout; it is kept and reported."""


class LeaseLost(TaskHubError):
    """Another worker owns the partition now: stop quietly."""


class StaleCheckpoint(TaskHubError):
    """Another worker committed this instance's history first: abandon the work item and reload."""


class InstanceParked(TaskHubError):
    """The code of an instance does not fit its history, and the host wants it left as it is until the code changes."""


class StorageError(TaskHubError):
    """Base of what the storage port raises."""

    service: str | None = None
    """``queue``, ``table`` or ``blob``, when it was raised by a store that is watched (``StorageHealth.watching``) and
    whose services fail one by one."""


class TransientStorageError(StorageError):
    """Throttled or unreachable; the call may or may not have acted. Safe to call again.

    Args:
        text: what happened.
        retry_after_seconds: how long the service asks to be left alone, if it says so.
    """

    def __init__(self, text: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class StorageRefused(StorageError):
    """The account refused the request for good: credentials, permissions, a size or a name."""


class ContentRefused(StorageRefused):
    """What was sent can never be stored: a size, a name or a character. The same call fails each time."""


class QueueNotFound(StorageError):
    """The queue does not exist: the task hub was deleted or never created."""


class MessageGone(StorageError):
    """The message was deleted, or somebody else holds it: this receipt is worth nothing any more."""


class TableNotFound(StorageError):
    """The table does not exist: the task hub was deleted or never created."""


class RowExists(StorageError):
    """An insert met a row with the same keys."""


class RowNotFound(StorageError):
    """A conditional write or delete named a row that does not exist."""


class RowChanged(StorageError):
    """The row's ETag is not the one that the write expected."""


class BlobNotFound(StorageError):
    """The blob or its container does not exist."""


class BlobExists(StorageError):
    """A blob was to be created but exists."""


class LeaseHeld(StorageError):
    """The blob or container is leased under another id."""
