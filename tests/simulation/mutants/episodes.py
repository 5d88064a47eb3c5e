"""Mistakes about what an episode sends, and what a generation hands to the next."""

from __future__ import annotations

from taskhub.core import episode, operations
from taskhub.core.episode import finish_episode, next_execution_id, next_generation
from taskhub.runtime.sessions import Session
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import ACTIVITIES, FAMILIES, GENERATIONS, MONEY

MUTANTS = (
    Mutant(
        "no_carry_over",
        "Events that nobody took are gone when an orchestration continues as new.",
        "storage.md 6.9",
        (
            Edit(
                next_generation,
                "            *(replace(event, is_played=True) for event in restarted.carried),\n",
                "",
            ),
        ),
    ),
    Mutant(
        "generations_send_nothing",
        "What the generations before the last one of a work item sent is not put.",
        "storage.md 6.9",
        (
            Edit(
                next_generation,
                "        outbound=(*episode.outbound, *_sent(episode, carried_out)),\n",
                "        outbound=(),\n",
            ),
        ),
        workload=GENERATIONS,
    ),
    Mutant(
        "generations_share_an_execution_id",
        "A generation that is begun again has the execution id of the one that died.",
        "storage.md 6.9, 8.4 C",
        (
            Edit(
                next_execution_id,
                "    return _execution_after(episode.started.instance.execution_id, str(first.clock))\n",
                "    return ExecutionId(f'{episode.started.instance.execution_id}+')\n",
            ),
        ),
        workload=GENERATIONS,
    ),
    Mutant(
        "children_are_orphaned_when_they_continue",
        "A sub-orchestration that continues as new forgets who waits for it.",
        "storage.md 6.9",
        (
            Edit(
                next_generation,
                "        input=restarted.input,\n",
                "        input=restarted.input,\n        parent=None,\n",
            ),
        ),
    ),
    Mutant(
        "children_are_begun_anew",
        "The start of a child that is put again has another execution id.",
        "storage.md H19",
        (
            Edit(
                operations._sub_orchestration,
                "child_execution_id(execution_id, operation, times_rewound)",
                "child_execution_id(ExecutionId(f'{execution_id}{now}'), operation, times_rewound)",
            ),
        ),
        workload=FAMILIES,
    ),
    Mutant(
        "parents_are_not_told",
        "A sub-orchestration that fails does not answer.",
        "storage.md 6.6",
        (
            Edit(
                finish_episode,
                "        outbound.extend(_to_parent(episode, answer))\n",
                "        if end.status is RuntimeStatus.Completed:\n"
                "            outbound.extend(_to_parent(episode, answer))\n",
            ),
        ),
        workload=MONEY,
    ),
    Mutant(
        "locks_outlive_their_holder",
        "An orchestration that ends leaves the entities locked that it had locked.",
        "storage.md 6.13; extension.md",
        (Edit(episode._releases, "    held = [", "    held = [] and ["),),
        workload=MONEY,
    ),
    Mutant(
        "code_is_fed_its_own_commits_twice",
        "A warm session is fed the events of its last commit as if none had been fed.",
        "storage.md 6.10",
        (
            Edit(
                Session.go_on,
                "    self._unfed = checkpoint.new_events[len(episode.new_events) :]\n",
                "    self._unfed = checkpoint.new_events\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
)
