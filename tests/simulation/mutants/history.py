"""Mistakes around the history: its guard, its rows, its generations."""

from __future__ import annotations

from taskhub.core.admission import admit
from taskhub.runtime.history_store import HistoryStore, _Flush, _Loading
from taskhub.runtime.orchestrations import Orchestrations
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import ACTIVITIES, BOOKS, ONE_RESTART

MUTANTS = (
    Mutant(
        "commit_without_etag",
        "History is written whatever somebody else wrote since it was read.",
        "storage.md 3.5, 6.7",
        (
            Edit(
                _Flush.operations,
                "    kind = Write.INSERT if etag is None else Write.MERGE\n"
                "    operations.append(TableWrite(kind, sentinel, if_match=etag))\n",
                "    operations.append(TableWrite(Write.INSERT_OR_MERGE, sentinel))\n",
            ),
        ),
        seeds=120,
    ),
    Mutant(
        "no_sentinel",
        "A batch of events is stored without the sentinel.",
        "storage.md 3.5, H8",
        (
            Edit(
                _Flush.operations,
                "    return operations\n",
                "    return operations[:-1] if self.rows else operations\n",
            ),
        ),
    ),
    Mutant(
        "every_refusal_is_an_echo",
        "A refused commit counts as stored without a look at what is stored.",
        "storage.md H9",
        (
            Edit(
                HistoryStore._settle,
                "    if not is_ours or not is_last:\n",
                "    if False:\n",
            ),
        ),
    ),
    Mutant(
        "settling_ignores_what_follows",
        "A commit in doubt counts as ours although somebody wrote on top of it.",
        "storage.md H9",
        (
            Edit(
                HistoryStore._settle,
                "    if not is_ours or not is_last:\n",
                "    if not is_ours:\n",
            ),
        ),
    ),
    Mutant(
        "parts_count_as_whole",
        "Each transaction of a long commit says that the episode is complete.",
        "storage.md 3.5",
        (
            Edit(
                HistoryStore.commit,
                "completes=is_complete and number == len(batches)",
                "completes=is_complete",
            ),
        ),
    ),
    Mutant(
        "parts_are_not_finished",
        "An episode that was stored in part is taken for a whole one.",
        "storage.md 3.5, 6.5",
        (
            Edit(
                admit,
                "    if state.started is not None and not state.is_whole and not state.is_terminal:\n",
                "    if False:\n",
            ),
        ),
    ),
    Mutant(
        "messages_of_an_interrupted_episode_are_lost",
        "What arrives with an episode that was stored in part is deleted, not looked at again.",
        "storage.md 6.5",
        (
            Edit(
                Orchestrations._act,
                "            sorted_messages = Sorted(pick(messages, used_up), later=pick(messages, later))\n",
                "            sorted_messages = Sorted(tuple(messages))\n",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "old_generations_are_read",
        "Rows that an older, longer generation left behind are taken for the current one's.",
        "storage.md 3.6, H10",
        (
            Edit(
                _Loading._take,
                "    elif execution_id != self.execution_id:\n",
                "    elif False:\n",
            ),
        ),
    ),
    Mutant(
        "only_the_first_page_is_read",
        "The pages of a long history after the first are not read, but for the sentinel.",
        "storage.md 3.7",
        (
            Edit(
                HistoryStore.load,
                "        loading.take(rows)\n",
                "        is_first = loading.execution_id is None\n"
                "        loading.take([row for row in rows if is_first or row.row_key == SENTINEL])\n",
            ),
        ),
        workload=ACTIVITIES,
        faults="short pages",
        settings={"max_steps": 60_000},
    ),
    Mutant(
        "etag_of_another_execution_is_forgotten",
        "The sentinel's ETag is dropped when the history is another execution's.",
        "storage.md H7",
        (
            Edit(
                HistoryStore.load,
                "        return StoredHistory(current, (), etag, ",
                "        return StoredHistory(current, (), None, ",
            ),
        ),
        workload=ONE_RESTART,
        faults="none",
        settings={"max_seconds": 900.0},
    ),
)
