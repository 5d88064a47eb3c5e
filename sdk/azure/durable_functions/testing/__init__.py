"""Helpers for tests of orchestrations.

``DurableWorld`` runs an app in a simulated world: time is skipped, activities are faked, workers die by seed. With
pytest it comes as the fixture ``durable_world``. ``orchestrator_generator_wrapper`` drives one orchestrator by hand.

``DurableWorld`` and what belongs to it are loaded when they are first used: they bring the task hub along.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from azure.durable_functions.testing.OrchestratorGeneratorWrapper import orchestrator_generator_wrapper

if TYPE_CHECKING:
    from azure.durable_functions.testing.errors import DurableWorldError, HistoryMismatch, UnexpectedState
    from azure.durable_functions.testing.instances import EntityInstance, Instance
    from azure.durable_functions.testing.replaying import Replayed
    from azure.durable_functions.testing.world import DurableWorld

__all__ = [
    "DurableWorld",
    "DurableWorldError",
    "EntityInstance",
    "HistoryMismatch",
    "Instance",
    "Replayed",
    "UnexpectedState",
    "orchestrator_generator_wrapper",
]

_HOMES = {
    "DurableWorld": "world",
    "DurableWorldError": "errors",
    "EntityInstance": "instances",
    "HistoryMismatch": "errors",
    "Instance": "instances",
    "Replayed": "replaying",
    "UnexpectedState": "errors",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    return value
