"""Agents in orchestrators: what the reference cannot tell, because it does otherwise or does not do it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import Any

import azure.durable_functions as df
import pytest

pytest.importorskip("agents", reason="durable-taskhub[openai-agents] is not installed")

import agents
import azure.functions as func
from agents import Agent, ModelResponse, ModelSettings, Runner, Usage, function_tool
from azure.durable_functions.replay import OrchestrationSession, Raised, Returned, ScheduleActivity
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from tests.support.contexts import event


def says(text: str) -> ModelResponse:
    content = ResponseOutputText(annotations=[], text=text, type="output_text")
    message = ResponseOutputMessage(id="m1", content=[content], role="assistant", status="completed", type="message")
    return ModelResponse(output=[message], usage=Usage(), response_id=None)


def calls(name: str, **arguments: Any) -> ModelResponse:
    call = ResponseFunctionToolCall(arguments=json.dumps(arguments), call_id="c1", name=name, type="function_call")
    return ModelResponse(output=[call], usage=Usage(), response_id=None)


class Model(agents.Model):
    """Remembers what it is asked, and answers what it is told to."""

    def __init__(self, *answers: ModelResponse) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def get_response(self, **request: Any) -> ModelResponse:  # type: ignore[override]  # takes them all
        self.asked.append(request)
        return self.answers.pop(0)

    def stream_response(self, *arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError


class Provider(agents.ModelProvider):
    def __init__(self, *answers: ModelResponse) -> None:
        self.model = Model(*answers)
        self.names: list[str | None] = []

    def get_model(self, model_name: str | None) -> Model:
        self.names.append(model_name)
        return self.model


@pytest.fixture
def app(caplog: pytest.LogCaptureFixture) -> df.DFApp:
    caplog.set_level(logging.ERROR)  # azure.functions logs at every app without HTTP functions
    return df.DFApp()


class Execution:
    """An orchestration of an app in the live shell, and the app's activities, which run when they are scheduled."""

    def __init__(self, app: df.DFApp, name: str) -> None:
        functions = app.get_functions()
        self._activities = {
            getattr(f.get_trigger(), "activity", None) or f.get_function_name(): f.get_user_function()
            for f in functions
        }
        handles = {f.get_function_name(): f.get_user_function() for f in functions}
        self._handle = handles[name]
        self.history: list[dict[str, Any]] = []
        self.session = self.fresh_session()
        self.called: list[str] = []

    def fresh_session(self) -> OrchestrationSession:
        return OrchestrationSession(self._handle, instance_id="i-1")

    def run(self, *, is_warm: bool = True) -> Any:
        """Run it to its end, in one session or in a new one for each episode; return the outcome."""
        new = [event(12), event(0, Name="Flow", Version="", Input=None)]
        committed: list[dict[str, Any]] = []
        while True:
            if not is_warm:
                self.session, committed = self.fresh_session(), self.history
            decisions = self.session.advance([*committed, *new], replayed=len(committed))
            self.history = [*(self.history if is_warm else ()), *committed, *new]
            if decisions.outcome is not None:
                return decisions.outcome
            (operation,) = decisions.operations
            assert isinstance(operation, ScheduleActivity)
            committed = [event(4, operation.task_id, Name=operation.name), event(13)]
            new = [event(12), self._perform(operation)]
            if not is_warm:
                self.history = [*self.history, *committed]

    def _perform(self, operation: ScheduleActivity) -> dict[str, Any]:
        self.called.append(operation.name)
        value = json.loads(json.loads(operation.input)[0])
        activity = self._activities[operation.name]
        (parameter,) = activity.__code__.co_varnames[: activity.__code__.co_argcount]
        result = activity(**{parameter: value})
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
        return event(5, TaskScheduledId=operation.task_id, Result=json.dumps(result))


def asking(app: df.DFApp, provider: Provider, **options: Any) -> None:
    """Give an app an orchestrator ``flow`` with an agent that has a tool."""

    @app.activity_trigger(input_name="city")
    def weather(city: str) -> str:
        """Look at the sky."""
        return f"rain in {city}"

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider, **options)
    def flow(context: Any) -> Any:
        context.logger.info("before")
        tool = context.create_activity_tool(weather)
        said = Runner.run_sync(Agent(name="A", instructions="be brief", tools=[tool]), "hi").final_output
        context.logger.info("between %s", context.is_replaying)
        return said


@pytest.mark.parametrize("is_warm", [True, False])
def test_a_session_goes_on_from_the_beginning(app: df.DFApp, caplog: pytest.LogCaptureFixture, is_warm: bool) -> None:
    provider = Provider(calls("weather", city="Oslo"), says("take a coat"))
    asking(app, provider)
    caplog.set_level(logging.INFO, logger="durable_functions.Flow")

    execution = Execution(app, "flow")
    outcome = execution.run(is_warm=is_warm)

    assert outcome == Returned('"take a coat"')
    assert execution.called == ["run_model", "weather", "run_model"]
    assert [record.message for record in caplog.records] == ["before", "between False"]


def test_the_model_is_asked_as_the_agent_would_ask_it(app: df.DFApp) -> None:
    provider = Provider(calls("weather", city="Oslo"), says("take a coat"))
    asking(app, provider, model_retry_options=None)

    Execution(app, "flow").run()

    first, second = provider.model.asked
    assert provider.names == [None, None]
    assert first["input"] == [{"content": "hi", "role": "user"}]
    assert (first["system_instructions"], first["conversation_id"]) == ("be brief", None)
    assert isinstance(first["model_settings"], ModelSettings)
    assert [tool.name for tool in first["tools"]] == ["weather"]
    assert second["input"][-1] == {"call_id": "c1", "output": "rain in Oslo", "type": "function_call_output"}


def test_output_schema_and_handoffs_reach_the_model(app: df.DFApp) -> None:
    provider = Provider(says('{"response": 5}'))

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider)
    def flow(context: Any) -> Any:
        agent = Agent(name="A", output_type=int, handoffs=[Agent(name="B", model="b")])
        return Runner.run_sync(agent, "hi", conversation_id="c").final_output

    assert Execution(app, "flow").run() == Returned('"5"')
    (asked,) = provider.model.asked
    schema = asked["output_schema"]
    assert (schema.name(), schema.is_plain_text(), schema.is_strict_json_schema()) == ("int", False, True)
    assert schema.json_schema()["properties"]["response"]["type"] == "integer"
    assert [handoff.tool_name for handoff in asked["handoffs"]] == ["transfer_to_b"]
    assert asked["conversation_id"] == "c"


def test_tools_that_the_service_runs_reach_the_model(app: df.DFApp) -> None:
    provider = Provider(says("found"))
    tools = [
        agents.FileSearchTool(vector_store_ids=["v"]),
        agents.WebSearchTool(search_context_size="low"),
        agents.CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
        agents.ImageGenerationTool(tool_config={"type": "image_generation"}),
        agents.HostedMCPTool(tool_config={"type": "mcp", "server_label": "s", "server_url": "https://x.example"}),
    ]

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider)
    def flow(context: Any) -> Any:
        return Runner.run_sync(Agent(name="A", tools=tools), "hi").final_output

    assert Execution(app, "flow").run() == Returned('"found"')
    assert provider.model.asked[0]["tools"] == tools


def test_each_agent_has_its_own_model(app: df.DFApp) -> None:
    provider = Provider(calls("transfer_to_b"), says("b was here"))

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider)
    def flow(context: Any) -> Any:
        return Runner.run_sync(Agent(name="A", model="a", handoffs=[Agent(name="B", model="b")]), "hi").final_output

    assert Execution(app, "flow").run() == Returned('"b was here"')
    assert provider.names == ["a", "b"]


def test_the_model_object_of_an_agent_that_may_take_over_is_refused_too(app: df.DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator
    def flow(context: Any) -> Any:
        other = Agent(name="C", model=Model())
        return Runner.run_sync(Agent(name="A", handoffs=[Agent(name="B", handoffs=[other])]), "hi").final_output

    outcome = Execution(app, "flow").run()

    assert isinstance(outcome, Raised)
    assert "must be a string" in outcome.error


def test_an_agent_may_be_the_tool_of_another(app: df.DFApp) -> None:
    provider = Provider(calls("expert", input="well?"), says("so it is"), says("the expert says so"))

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider)
    def flow(context: Any) -> Any:
        expert = Agent(name="Expert").as_tool("expert", "Knows.")
        return Runner.run_sync(Agent(name="A", tools=[expert]), "hi").final_output

    assert Execution(app, "flow").run() == Returned('"the expert says so"')


def test_agents_outside_of_orchestrators_run_as_ever(app: df.DFApp) -> None:
    asking(app, Provider())
    own = Model(says("async"), says("sync"))

    async def run() -> Any:
        return (await Runner.run(Agent(name="A", model=own), "hi")).final_output

    assert asyncio.run(run()) == "async"
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)  # the library would make one and leave it open
    assert Runner.run_sync(Agent(name="A", model=own), "hi").final_output == "sync"
    asyncio.set_event_loop(None)
    loop.close()


def test_a_tool_is_called_by_the_name_that_the_host_knows(app: df.DFApp) -> None:
    provider = Provider(calls("renamed", n=3), says("ok"))

    @app.function_name("Other")
    @app.activity_trigger(input_name="n")
    def renamed(n: int) -> int:
        return n

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider)
    def flow(context: Any) -> Any:
        tool = context.create_activity_tool(renamed)
        return Runner.run_sync(Agent(name="A", tools=[tool]), "hi").final_output

    execution = Execution(app, "flow")

    assert execution.run() == Returned('"ok"')
    assert execution.called == ["run_model", "Other", "run_model"]


def test_a_tool_tells_of_its_input_only(app: df.DFApp) -> None:
    found = []

    @app.activity_trigger(input_name="n")
    def traced(n: int, context: func.Context) -> int:
        """Traced."""
        return n

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator
    def flow(context: Any) -> Any:
        found.append(context.create_activity_tool(traced))
        for wrong in (flow_itself, "traced", lambda: None):
            with pytest.raises(ValueError, match=r"API received|takes a function under|but expected"):
                context.create_activity_tool(wrong)

    flow_itself = flow

    assert Execution(app, "flow").run() == Returned('"null"')
    (tool,) = found
    assert (tool.name, tool.description, list(tool.params_json_schema["properties"])) == ("traced", "Traced.", ["n"])


def test_parts_of_an_app_bring_one_model_activity(app: df.DFApp) -> None:
    first, second = df.Blueprint(), df.Blueprint()
    provider = Provider()
    for part, given in ((first, None), (second, provider), (app, None)):
        part.durable_openai_agent_orchestrator(model_provider=given)(lambda context: None)
    app.register_functions(first)
    app.register_functions(second)

    (activity,) = app.get_functions()

    assert activity.get_function_name() == "run_model_activity"
    assert activity.get_user_function()._df_model_provider is provider


def test_two_model_providers_are_refused(app: df.DFApp) -> None:
    app.durable_openai_agent_orchestrator(model_provider=Provider())(lambda context: None)
    part = df.Blueprint()
    part.durable_openai_agent_orchestrator(model_provider=Provider())(lambda context: None)

    with pytest.raises(ValueError, match="The app has a model provider already"):
        app.durable_openai_agent_orchestrator(model_provider=Provider())(lambda context: None)
    app.register_functions(part)
    with pytest.raises(ValueError, match="different model providers"):
        app.get_functions()


def test_what_cannot_be_an_orchestrator_with_agents_is_refused(app: df.DFApp) -> None:
    async def asynchronous(context: Any) -> None: ...

    with pytest.raises(TypeError, match=r"'asynchronous' is async def\. Use Runner\.run_sync"):
        app.durable_openai_agent_orchestrator(asynchronous)
    with pytest.raises(TypeError, match="must be of type ModelProvider"):
        app.durable_openai_agent_orchestrator(model_provider=Model())  # type: ignore[arg-type]


def test_local_tools_run_in_the_orchestrator(app: df.DFApp) -> None:
    provider = Provider(calls("plus_one", n=3), says("four"))

    @function_tool
    def plus_one(n: int) -> int:
        """Add."""
        return n + 1

    @app.orchestration_trigger(context_name="context")
    @app.durable_openai_agent_orchestrator(model_provider=provider)
    def flow(context: Any) -> Any:
        return Runner.run_sync(Agent(name="A", tools=[plus_one]), "hi").final_output

    assert Execution(app, "flow").run() == Returned('"four"')
    assert provider.model.asked[1]["input"][-1]["output"] == "4"


WITHOUT_LIBRARY = """
import sys
sys.modules["agents"] = None
import azure.durable_functions as df
app = df.DFApp()
assert not hasattr(df, "openai_agents")
imported = lambda: __import__("azure.durable_functions.openai_agents")
for use in (imported, lambda: app.durable_openai_agent_orchestrator(print)):
    try:
        use()
    except ImportError as error:
        print(error)
"""


def test_without_the_library_the_error_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARY], capture_output=True, text=True, check=True, timeout=60
    )

    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("pip install 'durable-taskhub[openai-agents]'" in line for line in lines)


def test_nothing_of_it_is_loaded_unless_it_is_used() -> None:
    script = "import sys; from azure.durable_functions import *; DFApp(); print('agents' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "False\n"
