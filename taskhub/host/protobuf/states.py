"""PURE: instances and entities as clients of the protocol see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.host.protobuf.values import failure_fields, failure_from_text, optional, optional_stamp
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.entities import EntityState
    from taskhub.model.instance import InstanceState


def instance_fields(state: InstanceState, *, with_values: bool) -> Mapping[str, Any]:
    """Return the fields of an ``OrchestrationState``.

    Args:
        state: of the instance.
        with_values: whether input, output, custom status and failure are wanted.
    """
    fields: dict[str, Any] = {
        "instanceId": state.instance_id,
        "name": state.name or "",
        "version": optional(state.version),
        # The numbers are the same.
        "orchestrationStatus": (state.status or RuntimeStatus.Running).value,
        "scheduledStartTimestamp": optional_stamp(state.scheduled_start),
        "createdTimestamp": optional_stamp(state.created),
        "lastUpdatedTimestamp": optional_stamp(state.last_updated),
        "completedTimestamp": optional_stamp(state.completed),
        "executionId": optional(state.execution_id),
        "tags": dict(state.tags or {}),
    }
    if not with_values:
        return fields
    has_failed = state.status is RuntimeStatus.Failed and state.output is not None
    return {
        **fields,
        "input": optional(state.input),
        "output": optional(state.output),
        "customStatus": optional(state.custom_status),
        # The row has only its text.
        "failureDetails": failure_fields(failure_from_text(state.output or "")) if has_failed else None,
    }


def entity_fields(state: EntityState) -> Mapping[str, Any]:
    """Return the fields of an ``EntityMetadata``."""
    return {
        "instanceId": state.id.instance_id,
        "lastModifiedTime": optional_stamp(state.last_operation),
        "backlogQueueSize": state.queue_size,
        "lockedBy": optional(state.locked_by),
        "serializedState": optional(state.state),
    }
