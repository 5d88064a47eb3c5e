"""Mistakes about entities: once, in order, and locked."""

from __future__ import annotations

from azure.durable_functions._replay.actions import LockEntitiesAction

from taskhub.core import entity_batch
from taskhub.core.entity_batch import _Taking, finish_batch
from taskhub.core.entity_sorter import MessageSorter
from taskhub.runtime.entities import Entities
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import BOOKS, MONEY

MUTANTS = (
    Mutant(
        "requests_are_taken_twice",
        "An entity does not remember which requests it has taken.",
        "storage.md 6.13; core.entity_memory",
        (
            Edit(
                _Taking._deliver,
                "    if self._memory.has_taken(request.id) or self._memory.has_released(request.id):\n",
                "    if self._memory.has_released(request.id):\n",
            ),
            Edit(
                MessageSorter.receive,
                "    if request.timestamp.ticks <= source.last.ticks:\n        return\n    if",
                "    if",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "memory_of_requests_is_not_stored",
        "An entity knows what it has taken only as long as it is in memory.",
        "core.entity_memory",
        (
            Edit(
                Entities._checkpoint,
                "taken_requests=encode_taken_requests(session.memory.remembered())",
                "taken_requests=None",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "answers_before_their_batch",
        "Others hear what a batch came to before anything of it is stored.",
        "core.episode.Ahead; runtime.entities",
        (
            Edit(
                Entities._run,
                "if self._services.settings.commit_before_messages and events and _tells_others(finished):",
                "if False:",
            ),
        ),
        workload=MONEY,
        seeds=300,
    ),
    Mutant(
        "interrupted_batches_take_in_more",
        "A batch that was stored as it began is run again together with what came since.",
        "runtime.entities",
        (Edit(Entities.process, "if session.is_interrupted:", "if False:"),),
        workload=MONEY,
    ),
    Mutant(
        "batches_are_known_before_they_are_run",
        "An entity remembers that it has taken requests which it has not carried out.",
        "core.episode.Ahead; core.entity_memory",
        (Edit(Entities._beginning, "remembers=False", "remembers=True"),),
        workload=BOOKS,
    ),
    Mutant(
        "requests_in_any_order",
        "The requests of a sender are run in the order in which they come.",
        "storage.md 6.13",
        (
            Edit(
                MessageSorter._waits,
                "    return predecessor > source.last.ticks and predecessor >= self._receive_horizon.ticks\n",
                "    return False\n",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "locked_entities_serve_everybody",
        "A locked entity runs the operations of others.",
        "storage.md 6.13; extension.md",
        (
            Edit(
                entity_batch._fill,
                "        if locked_by is not None and request.parent != locked_by:\n",
                "        if False:\n",
            ),
        ),
        workload=MONEY,
    ),
    Mutant(
        "holders_wait_in_line",
        "What the holder of a lock asks for stands behind what others ask for.",
        "storage.md 6.13; extension.md",
        (
            Edit(
                _Taking._deliver,
                "    if self.locked_by is not None and request.parent == self.locked_by:\n",
                "    if False:\n",
            ),
        ),
        workload=MONEY,
    ),
    Mutant(
        "locks_come_back_after_their_release",
        "A lock that is asked for anew, after a crash, closes the entity although it was given back.",
        "core.entity_memory",
        (
            Edit(
                _Taking._deliver,
                " or self._memory.has_released(request.id)",
                "",
            ),
            Edit(
                _Taking._release,
                "            waiting[:] = [each for each in waiting "
                "if each.lock_set is None or each.id != release.id]\n",
                "            pass\n",
            ),
        ),
        workload=MONEY,
    ),
    Mutant(
        "cut_batches_wait",
        "An entity that was given more operations than one batch may hold does not go on by itself.",
        "extension.md; core.entity_batch",
        (Edit(finish_batch, "    if goes_on:\n", "    if False:\n"),),
    ),
    Mutant(
        "locks_in_any_order",
        "Entities are locked in the order in which they are named, not in one that all keep.",
        "storage.md H21",
        (
            Edit(
                LockEntitiesAction.__init__,
                "    self.instance_ids = tuple(sorted(self.entities))\n",
                "    self.instance_ids = tuple(self.entities)\n",
            ),
        ),
        workload=MONEY,
    ),
    Mutant(
        "unread_events_are_dropped",
        "What came while an entity was suspended is never taken in.",
        "storage.md 6.13",
        (Edit(Entities._run, "(*session.unread, *events)", "events"),),
    ),
)
