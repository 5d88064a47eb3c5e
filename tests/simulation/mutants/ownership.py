"""Mistakes about whose a partition is, and how long what is in memory may be trusted."""

from __future__ import annotations

from taskhub.core import admission, balancing
from taskhub.model.leases import PartitionManager
from taskhub.runtime import table_leases
from taskhub.runtime.checkpoints import Checkpoints
from taskhub.runtime.inbox import Inbox
from taskhub.runtime.instance_work import InstanceWork
from taskhub.runtime.orchestrations import Orchestrations
from taskhub.runtime.ownership import Partition
from taskhub.runtime.partitions import Partitions
from taskhub.runtime.table_leases import TableLeases
from taskhub.simulation.fates import Fate, Fates
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import BOOKS, CHOICES, SLOW
from tests.simulation.settings import SHORTCUTS

WARM = {
    "partition_manager": PartitionManager.TABLE,
    "partition_count": 4,
    "warm_sessions": True,
    "max_warm_history_events": 500_000,
}

ALONE = {
    **dict.fromkeys(SHORTCUTS, False),
    "warm_sessions": True,
    "wake_readers": True,
    "partition_count": 1,
    "partition_manager": PartitionManager.TABLE,
}


def _pause(seed: int) -> Fates:
    """Stop one of two workers for longer than its leases last, at another step for each seed."""
    return Fates([Fate("step", 20 + 2 * seed, "pause", str(seed % 2), seconds=45.0)])


_NO_SECOND_SAFEGUARD = (
    # Two more safeguards: what an episode was told is stored first, and answers tell what they answer.
    Edit(
        Orchestrations._act,
        "            stores_ahead = self._stores_ahead(messages, accepted)\n",
        "            stores_ahead = False\n",
    ),
    Edit(admission._answers_another_question, "    if task_id is None or asked is None:\n", "    if True:\n"),
)

MUTANTS = (
    Mutant(
        "no_fence",
        "Nobody looks at the lease before an episode is stored.",
        "storage.md 8.4 D",
        (
            Edit(Checkpoints._fence, "    if not self._is_ours(partition):\n", "    if False:\n"),
            *_NO_SECOND_SAFEGUARD,
        ),
        workload=CHOICES,
        faults="none",
        settings=ALONE,
        schedule=_pause,
        seeds=200,
    ),
    Mutant(
        "lost_leases_are_ignored",
        "A partition that another worker has claimed is read on, and written for.",
        "storage.md 5.3",
        (
            Edit(TableLeases.round, "        self._estate.drop(queue)\n", "        pass\n"),
            Edit(Partitions._drop_expired, "            self.drop(queue)\n", "            pass\n"),
            Edit(
                Partition.is_ours,
                "    return not self.is_lost and now + margin < self.expires_at\n",
                "    return True\n",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "sessions_survive_their_partition",
        "Instances stay warm although their partition belonged to another worker in between.",
        "storage.md 6.10, 8.4 D",
        (Edit(Inbox.drop, "        if not instance.is_at_work:\n", "        if False:\n"),),
        workload=SLOW,
        faults="none",
        schedule=_pause,
        seeds=200,
        settings=WARM,
    ),
    Mutant(
        "sessions_survive_a_conflict",
        "An instance stays warm although its episode could not be stored.",
        "storage.md 8.4 D",
        (
            Edit(
                InstanceWork.abandon,
                "    self._inbox.rest(item, None)\n",
                "    self._inbox.rest(item, item.instance.session)\n",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "sessions_survive_what_was_withheld",
        "A suspended instance stays warm, so that what its code decided meanwhile is never carried out.",
        "core.episode",
        (Edit(Orchestrations._may_stay_warm, "        and not checkpoint.withholds\n", ""),),
    ),
    Mutant(
        "leases_without_etag",
        "Leases are written whoever has written them since they were read.",
        "storage.md 5.3",
        (
            Edit(
                table_leases._replace,
                "encode_lease(lease)), if_match=lease.etag)\n",
                "encode_lease(lease)))\n",
            ),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "living_leases_are_claimed",
        "A partition is claimed although the lease of its owner has not ended.",
        "storage.md 5.3",
        (
            Edit(
                balancing._is_free,
                "    return lease.expires_at is None or now.moment() >= lease.expires_at.moment()\n",
                "    return True\n",
            ),
        ),
        workload=SLOW,
        faults="pauses",
        settings={"partition_manager": PartitionManager.TABLE},
    ),
    Mutant(
        "leases_end_later_than_written",
        "A worker believes that its leases last longer than their rows say.",
        "storage.md 5.3, 8.4 I",
        (
            Edit(
                table_leases._end,
                "    return lease.expires_at.moment()\n",
                "    return lease.expires_at.moment() + (lease.expires_at.moment() - lease.last_renewal.moment())\n",
            ),
            *_NO_SECOND_SAFEGUARD,
        ),
        workload=CHOICES,
        faults="none",
        settings=ALONE,
        schedule=_pause,
        seeds=200,
    ),
    Mutant(
        "released_before_drained",
        "A partition is given away while its instances are worked on.",
        "storage.md 5.3",
        (
            Edit(
                balancing._keep_or_give,
                "    if lease.queue in standing.drained or lease.queue not in standing.reading:\n",
                "    if True:\n",
            ),
        ),
        workload=BOOKS,
    ),
)
