"""What a look over a whole hub finds, and what can be done about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from taskhub.model.ids import ETag, InstanceId


class Severity(enum.Enum):
    """How bad a finding is."""

    PROBLEM = "problem"
    """Something does not go on, or is not true, until somebody sees to it."""
    NOTICE = "notice"
    """Worth knowing; nothing is lost, or a worker sees to it."""


@dataclass(frozen=True, slots=True)
class WriteRow:
    """Write the row of an instance anew, from its history."""

    instance_id: InstanceId
    etag: ETag | None
    """Of the row, ``None`` when there is none."""

    @property
    def text(self) -> str:
        """What would be done."""
        return f"write the status of '{self.instance_id}' anew from its history"


@dataclass(frozen=True, slots=True)
class PutStart:
    """Put the start of an instance that has not begun, as its row tells it."""

    instance_id: InstanceId
    etag: ETag | None
    """Of the row."""

    @property
    def text(self) -> str:
        """What would be done."""
        return f"put the start message of '{self.instance_id}' into its queue again"


@dataclass(frozen=True, slots=True)
class PutTask:
    """Put what an open task of an instance waits for: a timer's message, the answer of a child."""

    instance_id: InstanceId
    task_id: int
    what: str
    """For people."""
    etag: ETag | None
    """Of the history's sentinel."""

    @property
    def text(self) -> str:
        """What would be done."""
        return f"put {self.what} for task {self.task_id} of '{self.instance_id}' into its queue again"


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Let the code of an instance ask again for an open task: its request becomes a tombstone, as in a rewind."""

    instance_id: InstanceId
    task_id: int
    what: str
    """For people."""
    etag: ETag | None
    """Of the history's sentinel."""

    @property
    def text(self) -> str:
        """What would be done."""
        return f"let '{self.instance_id}' ask for {self.what} (task {self.task_id}) again"


@dataclass(frozen=True, slots=True)
class Wake:
    """Let a worker look at an instance."""

    instance_id: InstanceId
    etag: ETag | None
    """Of the history's sentinel."""

    @property
    def text(self) -> str:
        """What would be done."""
        return f"send '{self.instance_id}' a message, so that a worker finishes its last episode"


@dataclass(frozen=True, slots=True)
class OpenEntity:
    """Tell an entity to open."""

    instance_id: InstanceId
    holder: InstanceId

    @property
    def text(self) -> str:
        """What would be done."""
        return f"release the lock of '{self.holder}' on the entity '{self.instance_id}'"


@dataclass(frozen=True, slots=True)
class PutRequest:
    """Put a request of an instance to an entity, under the id that it had: who got it before takes no second one."""

    instance_id: InstanceId
    request_id: str
    target: InstanceId
    """The entity; of locks, the first that is not locked."""
    what: str
    """For people."""
    etag: ETag | None
    """Of the history's sentinel."""

    @property
    def text(self) -> str:
        """What would be done."""
        return (
            f"put the request of '{self.instance_id}' to the entity '{self.target}', {self.what}, into its queue again"
        )


@dataclass(frozen=True, slots=True)
class PutGrant:
    """Tell an instance that its entities are locked."""

    instance_id: InstanceId
    request_id: str
    etag: ETag | None
    """Of the history's sentinel."""

    @property
    def text(self) -> str:
        """What would be done."""
        return f"tell '{self.instance_id}' that its entities are locked"


@dataclass(frozen=True, slots=True)
class DeleteBlob:
    """Delete a blob that nothing refers to."""

    name: str
    etag: ETag

    @property
    def text(self) -> str:
        """What would be done."""
        return f"delete the blob {self.name}"


Remedy = Union[  # noqa: UP007 (a runtime alias on 3.10)
    WriteRow, PutStart, PutTask, AskAgain, Wake, OpenEntity, PutRequest, PutGrant, DeleteBlob
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    kind: str
    """What it is, for programs: ``lost-activity`` and so on."""
    severity: Severity
    subject: str
    """Id of the instance, name of the queue or blob."""
    text: str
    """For people: what is, and what comes of it."""
    remedy: Remedy | None = None
    """What can be done; ``None`` where nothing can, or a worker does it."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What a look over a hub found."""

    hub: str
    storage: str
    """Where it lies, for people."""
    exists: bool
    workers: tuple[str, ...]
    """Who holds partitions."""
    instances: int
    entities: int
    messages: int
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are bad."""
        return tuple(each for each in self.findings if each.severity is Severity.PROBLEM)
