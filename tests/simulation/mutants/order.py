"""Mistakes in the order of the writes: put, history, row, delete."""

from __future__ import annotations

from taskhub.runtime.activities import Activities
from taskhub.runtime.checkpoints import Checkpoints
from taskhub.runtime.entities import Entities
from taskhub.runtime.orchestrations import Orchestrations
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import ACTIVITIES

_PUT = "        await self._send(partition, checkpoint.outbound, kept)\n"
_PUT_IN_SIGHT = "    await self._send(partition, checkpoint.outbound, Kept())\n"

MUTANTS = (
    Mutant(
        "delete_before_commit",
        "The messages of an episode are deleted before its history is stored.",
        "storage.md 6.7, H6",
        (
            Edit(
                Orchestrations.complete,
                "    session = result.session\n",
                "    session = result.session\n    await self._mailbox.delete(result.messages.used_up)\n",
            ),
        ),
    ),
    Mutant(
        "delete_entity_messages_before_commit",
        "The messages of an entity's batch are deleted before its state is stored.",
        "storage.md 6.7, H6",
        (
            Edit(
                Entities.complete,
                "    session, checkpoint = result.session, result.checkpoint\n",
                "    session, checkpoint = result.session, result.checkpoint\n"
                "    await self._mailbox.delete(result.messages.used_up)\n",
            ),
        ),
    ),
    Mutant(
        "put_after_commit",
        "What an episode sends is put after its history is stored.",
        "storage.md 6.7, H6",
        (
            Edit(Checkpoints.send, _PUT, ""),
            Edit(
                Checkpoints._write_row,
                "    instance_id = checkpoint.instance.instance_id\n",
                "    instance_id = checkpoint.instance.instance_id\n" + _PUT_IN_SIGHT,
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "row_before_history",
        "The row of an instance is written before its history.",
        "storage.md 6.7, H6",
        (
            Edit(
                Checkpoints.send,
                "    unstored = () if after is None else after.rows\n",
                "    unstored = () if after is None else after.rows\n"
                "    await self._write_row(partition, session, checkpoint, columns, is_first=is_first)\n",
            ),
        ),
    ),
    Mutant(
        "work_item_deleted_before_its_answer",
        "A work item is deleted before the answer of its activity is put.",
        "storage.md 6.11",
        (
            Edit(
                Activities.complete,
                "    await self._answer_anyhow(item, result)\n",
                "    await self._mailbox.delete([item.held])\n    await self._answer_anyhow(item, result)\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "requests_before_their_episode",
        "Requests to entities are put before it is stored how their episode began.",
        "storage.md 6.13; core.episode.storing_ahead",
        (
            Edit(
                Orchestrations._run,
                "if stores_ahead or self._services.settings.commit_before_messages:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "blobs_deleted_before_history",
        "The blobs of the generation before are deleted before the new generation is stored.",
        "storage.md 3.6, 6.7",
        (
            Edit(
                Checkpoints.send,
                _PUT,
                "        if checkpoint.replaces:\n"
                "            await self._services.large.delete_all(session.blobs)\n" + _PUT,
            ),
        ),
    ),
    Mutant(
        "no_repair_of_the_row",
        "Nobody looks after the row of an instance whose worker died between history and row.",
        "storage.md 6.7",
        (
            Edit(
                Checkpoints.repair_row,
                "    if stored.execution_id is None or not stored.events:\n",
                "    if True:\n",
            ),
        ),
    ),
)
