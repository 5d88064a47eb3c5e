"""Agents of the OpenAI Agents SDK in orchestrators: each call of a model and of a tool is an activity.

Needs the package ``openai-agents`` (``pip install 'durable-taskhub[openai-agents]'``)::

    from agents import Agent, Runner


    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator
    def ask(context):
        agent = Agent(name="Clerk", tools=[context.create_activity_tool(look_up)])
        return Runner.run_sync(agent, context.get_input()).final_output

How it works: an orchestrator cannot wait in the middle of ``Runner.run_sync``, so it does not. The n-th call of a model
or a tool looks for the n-th activity that the history knows as completed. If that is there, the call returns its
result; if not, the whole run is abandoned and the activity is waited for. When it has completed, the orchestrator
begins anew, and the calls before are answered from the history. So the code around the agent must do the same each
time, as in every orchestrator.
"""

from __future__ import annotations

try:
    import agents  # noqa: F401 (only to see that it is there)
except ImportError as _error:
    raise ImportError(
        "azure.durable_functions.openai_agents needs the OpenAI Agents SDK: "
        f"pip install 'durable-taskhub[openai-agents]' ({_error})"
    ) from _error

from azure.durable_functions.openai_agents._context import DurableAIAgentContext

__all__ = ["DurableAIAgentContext"]
