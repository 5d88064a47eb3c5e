"""Mistakes about which messages count, and what becomes of those that do not."""

from __future__ import annotations

from taskhub.core import admission, runtime_state
from taskhub.core.admission import judge_start
from taskhub.core.runtime_state import RuntimeState
from taskhub.runtime.activities import Activities
from taskhub.runtime.inbox import Inbox
from taskhub.runtime.instance_work import InstanceWork
from taskhub.runtime.mailbox import Mailbox
from taskhub.runtime.orchestrations import Orchestrations
from tests.simulation.mutants.mutant import Edit, Mutant
from tests.simulation.mutants.workloads import (
    ACTIVITIES,
    ALIKE,
    BOOKS,
    EVENTS,
    GENERATIONS,
    GENERATIONS_OF_CHILDREN,
    QUICK_CHILDREN,
    SLOW,
    TICKS,
    TICKS_FOR_EVER,
)

MUTANTS = (
    Mutant(
        "second_answers_count",
        "An answer to a task that was answered before reaches the code again.",
        "storage.md 6.5",
        (
            Edit(
                RuntimeState.has_seen,
                "        return task_id in self.scheduled and not "
                "(task_id in self.open and self._asked_for(event, task_id))\n",
                "        return False\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "second_answers_of_one_batch_count",
        "Two copies of an answer that arrive together both reach the code.",
        "storage.md 6.5",
        (
            Edit(
                admission._accept,
                "            if task_id in answered:\n",
                "            if False:\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "second_events_count",
        "A second copy of an event reaches the code.",
        "storage.md 6.5",
        (
            Edit(
                RuntimeState.has_seen,
                "    return mark in self.received or self.earlier.has_taken(mark)\n",
                "    return False\n",
            ),
            Edit(admission._accept, "            if mark in received:\n", "            if False:\n"),
        ),
        workload=TICKS,
        faults="copies",
    ),
    Mutant(
        "copies_for_earlier_executions_count",
        "A late copy of an event that an earlier execution took reaches the current one.",
        "storage.md 6.9; core.execution_memory",
        (
            Edit(
                RuntimeState.has_seen,
                "    return mark in self.received or self.earlier.has_taken(mark)\n",
                "    return mark in self.received\n",
            ),
        ),
        workload=TICKS_FOR_EVER,
        faults="copies",
    ),
    Mutant(
        "old_starts_begin_again",
        "A late copy of a start begins an execution anew that has ended long ago.",
        "storage.md 6.4, H19; core.execution_memory",
        (
            Edit(
                Orchestrations._judge_start,
                "    if start.instance.execution_id is not None and "
                "session.memory.has_begun(start.instance.execution_id):\n",
                "    if False:\n",
            ),
            Edit(Orchestrations.process, "other is not None and is_overtaken(start, other.events)", "False"),
        ),
        workload=GENERATIONS_OF_CHILDREN,
        faults="copies",
    ),
    Mutant(
        "alike_events_are_copies",
        "Two events with the same name and content are taken for two copies of one.",
        "storage.md 6.5",
        (
            Edit(
                runtime_state._mark,
                "{event.timestamp}",
                "",
            ),
        ),
        workload=ALIKE,
    ),
    Mutant(
        "second_replies_of_entities_count",
        "A second reply of an entity to one call reaches the code.",
        "storage.md 6.13",
        (
            Edit(
                RuntimeState.has_seen,
                "    if isinstance(event, EventRaised) and event.name in self.answered:\n",
                "    if False:\n",
            ),
            Edit(admission._accept, "            if event.name in replies:\n", "            if False:\n"),
        ),
        workload=BOOKS,
    ),
    Mutant(
        "early_answers_are_dropped",
        "An answer that comes before its question is stored is deleted, not put back.",
        "storage.md 6.5, H11",
        (
            Edit(
                Orchestrations._act,
                "            used_up = Sorted(all_but(messages, early), pick(messages, early))\n",
                "            used_up = Sorted(tuple(messages))\n",
            ),
            Edit(
                Orchestrations._act,
                "            return Outcome(session if may_stay else None, "
                "messages=Sorted(dropped, pick(messages, early)))\n",
                "            return Outcome(session if may_stay else None, messages=Sorted(tuple(messages)))\n",
            ),
        ),
        workload=QUICK_CHILDREN,
        faults="conflicts",
        # Else it is stored how the episode began, and what comes then waits for its end.
        settings={"commit_before_messages": False, "max_polling_interval_seconds": 5.0},
    ),
    Mutant(
        "early_answers_count",
        "An answer counts although its question is not stored.",
        "storage.md 6.5, H11",
        (Edit(admission._is_early, "    task_id = answered_task(event)\n", "    return False\n"),),
        workload=ACTIVITIES,
    ),
    Mutant(
        "zombies_come_back_for_ever",
        "An answer for an execution that never was is put back again and again.",
        "storage.md 6.5, H11",
        (
            Edit(
                admission._is_early,
                "    return is_known_execution or arrival.dequeue_count <= MAX_EARLY_READS\n",
                "    return True\n",
            ),
        ),
        workload=GENERATIONS,
    ),
    Mutant(
        "answers_to_another_execution_count",
        "An answer to an execution before reaches the one that is current.",
        "storage.md 6.3, 6.5",
        (
            Edit(
                Orchestrations._session,
                "    wanted = item.batch.execution_id\n",
                "    wanted = None\n",
            ),
            Edit(
                admission._accept,
                "        if arrival.execution_id and arrival.execution_id != start.instance.execution_id:\n",
                "        if False:\n",
            ),
        ),
        workload=GENERATIONS,
    ),
    Mutant(
        "start_before_its_row_is_dropped",
        "A start that is read before its client has written the row is deleted.",
        "storage.md 6.4",
        (
            Edit(
                judge_start,
                "    return StartVerdict.DUPLICATE if dequeue_count >= MAX_START_READS else StartVerdict.WAIT\n",
                "    return StartVerdict.DUPLICATE\n",
            ),
        ),
        workload=ACTIVITIES,
        faults="slow",
    ),
    Mutant(
        "events_of_an_ended_generation_are_lost",
        "An event that is read together with messages for the execution before is deleted with them.",
        "storage.md 6.3, 6.5",
        (
            Edit(
                admission._discard,
                "    if execution_id is None:\n",
                "    if True:\n",
            ),
            Edit(
                Orchestrations._of_an_earlier_execution,
                "    return Outcome(messages=Sorted(named, "
                "later=tuple(held for held in messages if held not in named)))\n",
                "    return Outcome(messages=Sorted(tuple(messages)))\n",
            ),
        ),
        workload=EVENTS,
    ),
    Mutant(
        "events_before_the_start_are_dropped",
        "An event for an instance whose start is still to come is deleted.",
        "storage.md H22",
        (
            Edit(
                Orchestrations._unknown,
                "    if row is None or row.status is not RuntimeStatus.Pending:\n",
                "    if True:\n",
            ),
        ),
        workload=EVENTS,
        faults="slow",
    ),
    Mutant(
        "deleted_after_a_conflict",
        "The messages of an episode that could not be stored are deleted.",
        "storage.md 6.8, 8.4",
        (
            Edit(
                InstanceWork.abandon,
                "        await self._mailbox.abandon(item.batch.messages, error=error)\n",
                "        await self._mailbox.delete(item.batch.messages)\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "deleted_after_the_lease",
        "The messages of an episode that the fence stopped are deleted with receipts that are still good.",
        "storage.md 8.4 A",
        (
            Edit(
                InstanceWork.abandon,
                "        await self._mailbox.give_back(item.batch.messages)\n",
                "        await self._mailbox.delete(item.batch.messages)\n",
            ),
        ),
        workload=SLOW,
        faults="pauses",
    ),
    Mutant(
        "messages_that_come_meanwhile_are_forgotten",
        "What arrives for an instance while it is worked on waits for ever.",
        "runtime.inbox",
        (
            Edit(
                Inbox.rest,
                "    if instance.waiting:\n        self._make_ready(instance)\n    else:\n"
                "        self._keep_or_forget(instance)\n",
                "    self._keep_or_forget(instance)\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "questions_are_known_by_their_number",
        "Two activities with the same number in two instances are taken for one.",
        "runtime.activities",
        (
            Edit(
                Activities.item,
                "    if item.question in self._in_progress or item.question in self._answered:\n",
                "    if any(each[1] == event.event_id for each in (*self._in_progress, *self._answered)):\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
    Mutant(
        "second_copies_are_deleted",
        "A message that comes again while it is in hand is deleted at once; should the work fail, it is gone.",
        "storage.md 8.4 A; runtime.mailbox",
        (
            Edit(
                Mailbox.read,
                "            self._keep(known, message.receipt)\n",
                "            await self._queues.delete(queue, message.id, message.receipt)\n",
            ),
        ),
        workload=ACTIVITIES,
    ),
)
