"""Mistakes in the shortcuts: docs/design/shortcuts.md."""

from __future__ import annotations

from taskhub.core import admission
from taskhub.runtime.activities import Activities
from taskhub.runtime.checkpoints import Checkpoints
from taskhub.runtime.local_messages import _KeptHere
from taskhub.runtime.mailbox import Mailbox
from taskhub.runtime.orchestrations import Orchestrations
from taskhub.runtime.timers import Timers
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import ACTIVITIES, CHAINS, TIMERS

FROM_MEMORY = {"local_timers": True, "max_dequeue_count": 0}
_FOLDING = {"shortcuts": "on", "fold_seconds": 5.0, "max_concurrent_activities": 20, "max_dequeue_count": 0}

MUTANTS = (
    Mutant(
        "answers_are_not_stored_ahead",
        "An episode sends before it is stored what it was told.",
        "storage.md 8.4 C, H14",
        (
            Edit(
                Orchestrations._act,
                "            stores_ahead = self._stores_ahead(messages, accepted)\n",
                "            stores_ahead = False\n",
            ),
            Edit(Orchestrations._fold, "stores_ahead=True", "stores_ahead=False"),
            # A second safeguard: answers tell what they answer.
            Edit(admission._answers_another_question, "    if task_id is None or asked is None:\n", "    if True:\n"),
        ),
        seeds=400,
        workload=CHAINS,
    ),
    Mutant(
        "work_items_go_before_their_answers",
        "A work item whose answer was handed over is deleted at once.",
        "storage.md 8.4 C",
        (
            Edit(
                Activities.complete,
                "    if self._answers_directly(item, result):\n",
                "    if self._answers_directly(item, result):\n        await self._mailbox.delete([item.held])\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "answers_go_with_their_partition",
        "An answer in memory is forgotten when its partition goes or its episode is refused.",
        "storage.md 8.4 C",
        (
            Edit(
                Mailbox._send_answer,
                "    try:\n",
                "    await self._delete(held)\n    return\n    try:\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "hidden_work_items_are_deleted_when_refused",
        "Work items of an episode that was not stored are deleted; its refusal may be an echo of its success.",
        "storage.md 8.4 A",
        (
            Edit(
                Checkpoints.store,
                "        await sent.kept.give_back()\n",
                "        await sent.kept._local._mailbox.delete([held for _, held in sent.kept._messages])\n",
            ),
        ),
        seeds=120,
        workload=ACTIVITIES,
    ),
    Mutant(
        "messages_go_before_the_next_episode",
        "What brought an episode is deleted when the answers to it have come, and they too, before either is stored.",
        "storage.md 8.4 C",
        (
            Edit(
                Orchestrations._fold,
                "    self._inbox.take_answers(item)\n",
                "    self._inbox.take_answers(item)\n    await self._mailbox.delete(list(item.batch.messages))\n",
            ),
        ),
        workload=CHAINS,
        settings=_FOLDING,
    ),
    Mutant(
        "episodes_are_not_stored_with_their_answers",
        "Of two episodes that are to be stored together the first one is left out.",
        "storage.md 8.4 C",
        (
            Edit(
                Checkpoints.send,
                "    unstored = () if after is None else after.rows\n",
                "    unstored = ()\n",
            ),
        ),
        workload=CHAINS,
        settings=_FOLDING,
    ),
    Mutant(
        "open_timers_are_deleted",
        "Timers are deleted with any episode, not with the end of their execution.",
        "storage.md 8.4 F",
        (
            Edit(
                Checkpoints._delete_timers,
                "    if checkpoint.is_final:\n",
                "    if checkpoint.new_events:\n",
            ),
        ),
        workload=TIMERS,
    ),
    Mutant(
        "local_timers_are_deleted_when_refused",
        "Timers of an episode that was not stored are deleted; its refusal may be an echo of its success.",
        "storage.md 8.4 A, F",
        (
            Edit(
                _KeptHere.give_back,
                "    await self._local.give_back([held for _, held in messages])\n",
                "    await self._local._mailbox.delete([held for r, held in messages if not r.is_waited_for])\n"
                "    await self._local.give_back([held for r, held in messages if r.is_waited_for])\n",
            ),
        ),
        seeds=120,
        workload=TIMERS,
        settings=FROM_MEMORY,
    ),
    Mutant(
        "timers_are_deleted_when_they_fire",
        "A timer's message is deleted when it fires, not when that is stored.",
        "storage.md 8.4 F",
        (
            Edit(
                Timers.run,
                "        self._hand_over_due()\n",
                "        over = [each.held for each in self._waiting.values() if self._seconds_until(each.due) <= 0]\n"
                "        self._hand_over_due()\n"
                "        await self._mailbox.delete(over)\n",
            ),
        ),
        workload=TIMERS,
        settings=FROM_MEMORY,
    ),
    Mutant(
        "timers_go_with_their_partition",
        "Timers in memory are deleted when their partition goes to another worker.",
        "storage.md 8.4 F",
        (
            Edit(
                Timers.give_back,
                "        [lambda each=each: self._mailbox.give_back([each.held]) for each in given],",
                "        [lambda each=each: self._mailbox.delete([each.held]) for each in given],",
            ),
        ),
        workload=TIMERS,
        settings=FROM_MEMORY,
    ),
)
