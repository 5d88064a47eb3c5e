"""All mutants."""

from __future__ import annotations

from tests.simulation.mutants import entities, episodes, history, messages, order, ownership, shortcuts

UNSHOWN: dict[str, str] = {
    "settling_ignores_what_follows": (
        "somebody must write on top of a commit whose reply was lost before we look: not in 40 runs; a unit test has it"
    ),
    "second_replies_of_entities_count": (
        "not in 40 runs: an entity answers anew under the same history of requests only"
    ),
    "answers_to_another_execution_count": "not in 15 runs with generations alone; restarted instances are needed",
    "events_of_an_ended_generation_are_lost": (
        "not looked for yet: needs events beside answers for a generation that has ended"
    ),
    "second_copies_are_deleted": "not looked for yet: the work on a message must fail after its second copy was read",
    "sessions_survive_what_was_withheld": (
        "not looked for yet: a suspended instance must decide something and be resumed on the same worker"
    ),
    "leases_without_etag": (
        "two workers must claim in the same moment; the fence and ETags of histories then hold; not in 15 runs"
    ),
    "released_before_drained": "harmless but slower: the fence stops what still runs",
    "generations_share_an_execution_id": (
        "not looked for yet: the generation that is begun again must decide otherwise"
    ),
    "children_are_begun_anew": (
        "a child that is begun anew does the same again; needs an answer that tells the two apart; not in 15 runs"
    ),
    "code_is_fed_its_own_commits_twice": "the replay engine ignores what it was fed before: a second safeguard",
    "locks_come_back_after_their_release": (
        "not looked for yet: an entity must die between handing a lock on and storing it"
    ),
    "interrupted_batches_take_in_more": (
        "what came since stands behind in the queue in almost any case, so all comes to the same; not in 60 runs"
    ),
    "unread_events_are_dropped": "the workload suspends no entities",
}
"""Mistakes that were looked for and not found, and what the simulation lacks to show them."""

_ALL = (
    *order.MUTANTS,
    *history.MUTANTS,
    *messages.MUTANTS,
    *ownership.MUTANTS,
    *shortcuts.MUTANTS,
    *episodes.MUTANTS,
    *entities.MUTANTS,
)

BY_NAME = {mutant.name: mutant for mutant in _ALL}

MUTANTS = tuple(mutant for mutant in _ALL if mutant.name not in UNSHOWN)
"""Those that the simulation finds."""
