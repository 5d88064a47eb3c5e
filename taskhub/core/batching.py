"""Which messages of one instance are worked on together.

A batch belongs to one execution. A start always opens a batch of its own, so that what came before it still meets
the old execution; whatever names no execution joins the newest batch there is.

Source: DurableTask.AzureStorage, OrchestrationSessionManager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.model.history import ExecutionStarted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.model.ids import ExecutionId
    from taskhub.model.messages import TaskMessage


def batch_for(message: TaskMessage, open_batches: Sequence[ExecutionId | None]) -> int | None:
    """Return the index of the batch that a message joins, ``None`` when it opens a new one at the end.

    Args:
        message: the message.
        open_batches: execution ids of the batches that nobody works on yet, oldest first; ``None`` where all
            messages so far were for whichever execution is current.
    """
    if isinstance(message.event, ExecutionStarted):
        return None
    wanted = message.target.execution_id
    for index in range(len(open_batches) - 1, -1, -1):
        if wanted is None or open_batches[index] is None or open_batches[index] == wanted:
            return index
    return None


def execution_of(current: ExecutionId | None, message: TaskMessage) -> ExecutionId | None:
    """Return the execution id of a batch after a message joined it: it adopts the first one that is named."""
    return current if current is not None else message.target.execution_id
