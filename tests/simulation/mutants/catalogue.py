"""All mutants."""

from __future__ import annotations

from tests.simulation.mutants import entities, episodes, history, messages, order, ownership, shortcuts

UNSHOWN: dict[str, str] = {
    "settling_ignores_what_follows": (
        "somebody must write on top of a commit whose reply was lost before we look: not in 40 runs; a unit test has it"
    ),
    "only_the_first_page_is_read": "short pages rarely strike the load of a long history; not in 40 runs",
    "etag_of_another_execution_is_forgotten": (
        "not in 40 runs: few messages for an execution before meet a history without its rows"
    ),
    "second_events_count": "copies of events are few; not in 15 runs, and a copy that nobody waits for is not seen",
    "copies_for_earlier_executions_count": (
        "a copy of an event must come after its instance continued as new and waits for it again; not in 15 runs"
    ),
    "old_starts_begin_again": "not looked for yet: a copy of a start must come after a restart",
    "alike_events_are_copies": "events of the workload all differ in their content; some that are alike are needed",
    "second_replies_of_entities_count": (
        "not in 40 runs: an entity answers anew under the same history of requests only"
    ),
    "early_answers_are_dropped": (
        "what is asked again is answered again, but for a child that was done before its parent was stored"
    ),
    "answers_to_another_execution_count": "not in 15 runs with generations alone; restarted instances are needed",
    "start_before_its_row_is_dropped": (
        "a worker must read a start before its client goes on to the row; not in 40 runs"
    ),
    "events_of_an_ended_generation_are_lost": (
        "not looked for yet: needs events beside answers for a generation that has ended"
    ),
    "events_before_the_start_are_dropped": (
        "an event must be read while the start is hidden in the hands of a dead worker; not in 40 runs"
    ),
    "deleted_after_the_lease": "the fence must stop an episode whose messages nobody else has read; not in 40 runs",
    "second_copies_are_deleted": "not looked for yet: the work on a message must fail after its second copy was read",
    "no_fence": (
        "the ETag stops a late worker as well; what it has put is recognised as a copy; only racing decisions show it"
    ),
    "sessions_survive_their_partition": (
        "a partition must leave a worker and come back while an instance goes on elsewhere; not in 25 runs"
    ),
    "sessions_survive_what_was_withheld": (
        "not looked for yet: a suspended instance must decide something and be resumed on the same worker"
    ),
    "leases_without_etag": (
        "two workers must claim in the same moment; the fence and ETags of histories then hold; not in 15 runs"
    ),
    "released_before_drained": "harmless but slower: the fence stops what still runs",
    "early_timers_are_dropped_with_their_partition": (
        "not looked for yet: a partition must be given away in the very second before a timer"
    ),
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
