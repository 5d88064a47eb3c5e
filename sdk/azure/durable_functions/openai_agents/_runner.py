"""``Runner.run_sync`` in an orchestrator: the agents library's own run, with models that are activities."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from agents import Agent, RunConfig, run
from azure.durable_functions.openai_agents._calls import current_calls
from azure.durable_functions.openai_agents._model import ActivityModelProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents import RunResult, RunResultStreaming

_is_within_a_run: ContextVar[bool] = ContextVar("durable_agent_run", default=False)


def install_runner() -> None:
    """Let ``Runner`` run agents of orchestrators durably; the agents library has one runner for the process."""
    known = run.get_default_agent_runner()
    if not isinstance(known, DurableRunner):
        run.set_default_agent_runner(DurableRunner(known))


class DurableRunner(run.AgentRunner):
    """Runs agents of orchestrators durably, and all others as the runner that it takes the place of.

    Args:
        other: that runner.
    """

    def __init__(self, other: run.AgentRunner) -> None:
        super().__init__()
        self._other = other

    def run_sync(self, starting_agent: Any, input: Any, **options: Any) -> RunResult:
        """Run an agent; in an orchestrator, as far as its history goes."""
        if current_calls() is None:
            return self._other.run_sync(starting_agent, input, **options)
        token = _is_within_a_run.set(True)
        try:
            with _loop_of_its_own():
                return self._other.run_sync(starting_agent, input, **_durable(starting_agent, options))
        finally:
            _is_within_a_run.reset(token)

    async def run(self, starting_agent: Any, input: Any, **options: Any) -> RunResult:
        """Run an agent; in an orchestrator only one that is a tool of another, whose run has a loop to wait in.

        Raises:
            RuntimeError: the orchestrator's code itself calls it.
        """
        if current_calls() is None:
            return await self._other.run(starting_agent, input, **options)
        if not _is_within_a_run.get():
            raise RuntimeError("Durable Functions do not support asynchronous runs.")
        return await self._other.run(starting_agent, input, **_durable(starting_agent, options))

    def run_streamed(self, starting_agent: Any, input: Any, **options: Any) -> RunResultStreaming:
        """Run an agent whose answers are streamed.

        Raises:
            RuntimeError: the code is an orchestrator's.
        """
        if current_calls() is not None:
            raise RuntimeError("Durable Functions do not support streaming.")
        return self._other.run_streamed(starting_agent, input, **options)


@contextmanager
def _loop_of_its_own() -> Iterator[None]:
    """Give the run a loop that ends with it: what an abandoned run leaves behind must not go on in the next one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _durable(starting_agent: Agent[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a run whose models are activities.

    Raises:
        ValueError: a model is an object, which would be called in the orchestrator.
    """
    configuration = options.get("run_config") or RunConfig()
    if not all(isinstance(model, (str, type(None))) for model in (configuration.model, *_models_of(starting_agent))):
        raise ValueError(
            "For agent execution in Durable Functions, model name in run_config or starting_agent must be a string."
        )
    return {**options, "run_config": dataclasses.replace(configuration, model_provider=ActivityModelProvider())}


def _models_of(starting_agent: Agent[Any]) -> list[Any]:
    """Return the models of an agent and of those that it may hand over to."""
    found, left = {id(starting_agent): starting_agent.model}, [starting_agent]
    while left:
        for other in left.pop().handoffs:
            if isinstance(other, Agent) and id(other) not in found:
                found[id(other)] = other.model
                left.append(other)
    return list(found.values())
