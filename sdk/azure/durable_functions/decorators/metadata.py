"""What the host is told of a durable function: its trigger, or its client binding.

The keys of a binding are the constructors' argument names in camel case; ``azure.functions`` writes them.
"""

from __future__ import annotations

from azure.durable_functions.constants import (
    ACTIVITY_TRIGGER,
    DURABLE_CLIENT,
    ENTITY_TRIGGER,
    ORCHESTRATION_TRIGGER,
)
from azure.functions.decorators.core import InputBinding, Trigger


class OrchestrationTrigger(Trigger):
    """Trigger of an orchestrator.

    Args:
        name: name of the parameter that takes the context.
        orchestration: name under which the orchestrator is started; the function's name if there is none.
    """

    @staticmethod
    def get_binding_name() -> str:
        """Return the binding's type."""
        return ORCHESTRATION_TRIGGER

    def __init__(self, name: str, orchestration: str | None = None) -> None:
        self.orchestration = orchestration
        super().__init__(name=name)


class ActivityTrigger(Trigger):
    """Trigger of an activity.

    Args:
        name: name of the parameter that takes the input.
        activity: name under which the activity is called; the function's name if there is none.
    """

    @staticmethod
    def get_binding_name() -> str:
        """Return the binding's type."""
        return ACTIVITY_TRIGGER

    def __init__(self, name: str, activity: str | None = None) -> None:
        self.activity = activity
        super().__init__(name=name)


class EntityTrigger(Trigger):
    """Trigger of an entity.

    Args:
        name: name of the parameter that takes the context.
        entity_name: name under which the entity is addressed; the function's name if there is none.
    """

    @staticmethod
    def get_binding_name() -> str:
        """Return the binding's type."""
        return ENTITY_TRIGGER

    def __init__(self, name: str, entity_name: str | None = None) -> None:
        self.entity_name = entity_name
        super().__init__(name=name)


class DurableClient(InputBinding):
    """Binding of a durable client.

    Args:
        name: name of the parameter that takes the client.
        task_hub: another task hub than the app's.
        connection_name: setting with another storage connection than the app's.
    """

    @staticmethod
    def get_binding_name() -> str:
        """Return the binding's type."""
        return DURABLE_CLIENT

    def __init__(self, name: str, task_hub: str | None = None, connection_name: str | None = None) -> None:
        self.task_hub = task_hub
        self.connection_name = connection_name
        super().__init__(name=name)
