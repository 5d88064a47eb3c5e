"""How hard runs are: what befalls them, and how often."""

from __future__ import annotations

from dataclasses import dataclass, replace

from taskhub.storage.faults import NO_FAULTS, FaultRates


@dataclass(frozen=True)
class Profile:
    """How hard a run is."""

    rates: FaultRates
    faulty: float
    """Share of the runs in which storage fails."""
    kills: tuple[int, ...]
    pauses: tuple[int, ...]
    moves: tuple[int, ...]
    workers: tuple[int, ...]
    skew_seconds: float
    """By which the clocks of processes are wrong at most. Two may differ by less than the margin of the fence."""
    most_instances: int
    pause_seconds: tuple[float, ...] = (1.0, 20.0, 45.0, 100.0)
    strike_rates: tuple[float, ...] = (0.001, 0.005, 0.02)
    """How likely a worker is struck at a step, as long as strikes are left."""


_CALM = Profile(NO_FAULTS, 0.0, (0,), (0,), (0,), (2,), skew_seconds=1.0, most_instances=4)

PROFILES = {
    "none": _CALM,
    "default": Profile(
        FaultRates(
            fail_before=0.01,
            lose_reply=0.01,
            act_twice=0.01,
            delay=0.02,
            throttle=0.005,
            second_copy=0.02,
            reorder=0.05,
            short_hiding=0.02,
            short_page=0.03,
            touch=0.01,
            max_copy_seconds=120,
        ),
        faulty=0.5,
        kills=(0, 1, 2, 3, 5),
        pauses=(0, 0, 1, 3),
        moves=(0, 0, 1, 2),
        workers=(2, 2, 2, 3),
        skew_seconds=2.0,
        most_instances=4,
    ),
    "heavy": Profile(
        FaultRates(
            fail_before=0.02,
            lose_reply=0.03,
            act_twice=0.03,
            delay=0.04,
            throttle=0.01,
            second_copy=0.08,
            reorder=0.1,
            short_hiding=0.04,
            short_page=0.1,
            touch=0.02,
            max_copy_seconds=600,
        ),
        faulty=0.85,
        kills=(0, 2, 4, 8, 15),
        pauses=(0, 1, 3, 6),
        moves=(0, 1, 2, 4),
        workers=(2, 3, 4),
        skew_seconds=2.4,
        most_instances=6,
    ),
    # Each hard in one way, for mistakes that show in that way only.
    "copies": replace(_CALM, faulty=1.0, rates=FaultRates(second_copy=0.5, reorder=0.2, max_copy_seconds=25)),
    "conflicts": replace(_CALM, faulty=1.0, rates=FaultRates(touch=0.4, delay=0.1)),
    "slow": replace(_CALM, faulty=1.0, rates=FaultRates(delay=0.5, lose_reply=0.1)),
    "short pages": replace(_CALM, faulty=1.0, rates=FaultRates(short_page=0.3)),
    "pauses": replace(
        _CALM,
        rates=FaultRates(delay=0.2),
        faulty=0.5,
        pauses=(10, 20),
        workers=(2, 3),
        pause_seconds=(38.0, 45.0),
        strike_rates=(0.005, 0.02),
    ),
}
