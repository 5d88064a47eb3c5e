"""Driving an orchestrator in a test, without a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from azure.durable_functions.models.Task import TaskBase


def orchestrator_generator_wrapper(generator: Generator[TaskBase, Any, Any]) -> Generator[Any, None, None]:
    """Run an orchestrator on tasks whose results the test has set.

    Usual with ``MagicMock(spec=df.DurableOrchestrationContext)`` as context, and in a loop or ``list()``::

        values = list(orchestrator_generator_wrapper(my_orchestrator(context)))
        assert values[-1] == "what it returns"

    Args:
        generator: the user's orchestrator, called with a context.

    Yields:
        Each task that the orchestrator yields; its ``result`` is then sent back, and an exception that reading it
        raises is thrown in. Last, what the orchestrator returns.
    """
    try:
        task = next(generator)
        while True:
            yield task
            try:
                result = task.result
            except Exception as error:  # the test made the task fail: so it does for the orchestrator
                task = generator.throw(error)
            else:
                task = generator.send(result)
    except StopIteration as end:
        yield end.value
