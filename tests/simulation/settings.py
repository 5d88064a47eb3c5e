"""The settings of simulated hubs: drawn, and the plainest of each."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from taskhub.model.leases import PartitionManager

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHORTCUTS = (
    "warm_sessions",
    "wake_readers",
    "local_activities",
    "local_messages",
    "direct_answers",
    "delete_timers",
    "assume_new",
    "long_lease_rounds",
    "local_timers",
)
"""Settings that switch a shortcut on. Runs, tools and mutants know them from here alone: a new one is one name more."""

SHORTCUTS_ON = {"drawn": None, "on": True, "off": False}
"""Whether shortcuts are on, by what ``--shortcuts`` says; ``None``: each is drawn."""


def draw_settings(seed: int, shortcuts: str = "drawn") -> dict[str, Any]:
    """Return settings for the hub of a seed.

    Args:
        seed: of everything that is drawn.
        shortcuts: a key of :data:`SHORTCUTS_ON`.
    """
    draw = random.Random(f"{seed}/hub")
    # Each by itself: one that is new leaves all others as they were.
    drawn = {name: random.Random(f"{seed}/{name}").random() < 0.7 for name in SHORTCUTS}
    is_on = SHORTCUTS_ON[shortcuts]
    return {
        "partition_count": draw.choice([1, 2, 4]),
        "max_concurrent_activities": draw.choice([1, 3, 20]),
        "max_concurrent_orchestrations": draw.choice([1, 3, 20]),
        "max_concurrent_entities": draw.choice([1, 3, 20]),
        "max_entity_batch": draw.choice([1, 3, 5000]),
        "control_queue_buffer_threshold": draw.choice([4, 64, 256]),
        "max_warm_history_events": draw.choice([20, 500_000]),
        "max_polling_interval_seconds": draw.choice([1.0, 10.0]),
        "partition_manager": draw.choice([None, None, *PartitionManager]),
        # More often than workers die here: nothing may be parked.
        "max_dequeue_count": draw.choice([0, 0, 40]),
        "base64_messages": draw.random() < 0.2,
        "overridable_running_instances": True,
        "gather_seconds": _seconds(seed, "gather_seconds", (0.0, 0.02, 1.0), is_on=is_on),
        "fold_seconds": _seconds(seed, "fold_seconds", (0.0, 0.5, 5.0, 5.0), is_on=is_on),
        **(drawn if is_on is None else dict.fromkeys(SHORTCUTS, is_on)),
    }


def _seconds(seed: int, name: str, choices: Sequence[float], *, is_on: bool | None) -> float:
    """Draw how long something waits, where 0 is off, so that others are left as they were."""
    if is_on is not None:
        choices = [each for each in choices if bool(each) is is_on]
    return random.Random(f"{seed}/{name}").choice(choices)


PLAIN: Mapping[str, Any] = {
    "partition_manager": None,
    "partition_count": 1,
    **dict.fromkeys(SHORTCUTS, True),
    "gather_seconds": 0.0,
    "fold_seconds": 0.0,
    "base64_messages": False,
    "max_dequeue_count": 0,
    "max_concurrent_activities": 20,
    "max_concurrent_orchestrations": 20,
    "max_concurrent_entities": 20,
    "max_entity_batch": 5000,
    "control_queue_buffer_threshold": 256,
    "max_warm_history_events": 500_000,
    "max_polling_interval_seconds": 1.0,
}
"""The plainest value of each setting that runs draw."""
