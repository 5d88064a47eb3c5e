"""What others are told of an instance's life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.model.ids import InstanceId, Utc
    from taskhub.model.instance import RuntimeStatus


@dataclass(frozen=True, slots=True)
class LifecycleChange:
    """An instance has begun, or ended."""

    name: str
    """Of the orchestrator or entity."""
    instance_id: InstanceId
    status: RuntimeStatus
    at: Utc
    reason: str = ""
    """Of a failure or a termination."""
