"""All mutants."""

from __future__ import annotations

from tests.simulation.mutants import entities, episodes, history, messages, order, ownership

MUTANTS = (
    *order.MUTANTS,
    *history.MUTANTS,
    *messages.MUTANTS,
    *ownership.MUTANTS,
    *episodes.MUTANTS,
    *entities.MUTANTS,
)

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
