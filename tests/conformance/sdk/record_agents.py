"""Runs orchestrators with agents of the OpenAI Agents SDK over made-up histories; prints what they answer, as JSON.

Recorded with the reference and openai-agents 0.24.0 in one environment::

    python -m venv /tmp/agents
    /tmp/agents/bin/pip install azure-functions-durable==1.7.0 azure-functions==1.26.0 openai-agents==0.24.0
    /tmp/agents/bin/python -I tests/conformance/sdk/record_agents.py > tests/conformance/sdk/agents-1.7.0.json

Nothing here asks a model: what models would say stands in the histories. Facts only: states as the host gets them, with
the texts in them parsed and without settings that are null, because newer releases of the library have more of these.
"""

import asyncio
import json
import logging
import sys
import warnings

import azure.durable_functions as df
from agents import (
    Agent,
    CodeInterpreterTool,
    FileSearchTool,
    HostedMCPTool,
    ImageGenerationTool,
    LocalShellTool,
    Model,
    ModelSettings,
    RunConfig,
    Runner,
    WebSearchTool,
    function_tool,
)
from pydantic import BaseModel

MARKER = "\n\n$OutOfProcData$:"
TIME = {"EventId": -1, "IsPlayed": False, "Timestamp": "2024-03-05T10:00:00.0000000Z"}

app = df.DFApp()


class Answer(BaseModel):
    city: str
    degrees: int


class Question(BaseModel):
    city: str
    day: str = "today"


class Encoded:
    def to_json(self):
        return "encoded"


class Silent(Model):
    async def get_response(self, *arguments, **keywords):
        raise NotImplementedError

    def stream_response(self, *arguments, **keywords):
        raise NotImplementedError


# ---- activities


@app.activity_trigger(input_name="city")
def weather(city: str) -> str:
    """Look at the sky.

    Args:
        city: where.
    """
    return f"sun in {city}"


@app.activity_trigger(input_name="question", activity="Forecast")
def forecast(question: Question):
    return question


@app.activity_trigger(input_name="days")
def outlook(days: int | None = None):
    return days


@app.activity_trigger(input_name="anything")
def vague(anything):
    return anything


@app.activity_trigger(input_name="anything")
def unbounded(anything: dict):
    return anything


@app.activity_trigger(input_name="value")
def first(value):
    return value


@app.activity_trigger(input_name="value")
def second(value):
    return value


@app.orchestration_trigger(context_name="context")
def child(context):
    return context.get_input()


# ---- orchestrators


def refusal(begin):
    try:
        return begin()
    except RuntimeError as error:
        return str(error)


ORCHESTRATORS = {}


def orchestrator(*arguments, **options):
    def decorate(function):
        durable = app.durable_openai_agent_orchestrator
        made = durable(**options)(function) if options or not arguments else durable(function)
        ORCHESTRATORS[function.__name__] = df.Orchestrator.create(made)
        return function

    return decorate(arguments[0]) if arguments else decorate


@orchestrator
def plain(context):
    return Runner.run_sync(Agent(name="A", instructions="be brief"), "hi").final_output


@orchestrator(model_retry_options=None)
def without_retries(context):
    return Runner.run_sync(Agent(name="A", model="gpt-x"), "hi").final_output


@orchestrator(model_retry_options=df.RetryOptions(7, 2))
def with_own_retries(context):
    return Runner.run_sync(Agent(name="A"), "hi", run_config=RunConfig(model="gpt-y"), max_turns=3).final_output


@orchestrator
def with_tools(context):
    tools = [context.create_activity_tool(each) for each in (weather, forecast, outlook, vague)]
    settings = ModelSettings(temperature=0.5, tool_choice="required")
    agent = Agent(name="A", tools=tools, output_type=Answer, model_settings=settings)
    return Runner.run_sync(agent, "hi").final_output


@orchestrator
def with_tool_of_one_attempt(context):
    tool = context.create_activity_tool(weather, description="asks", retry_options=None)
    return Runner.run_sync(Agent(name="A", tools=[tool]), "hi").final_output


@orchestrator
def with_unbounded_tool(context):
    return context.create_activity_tool(unbounded).name


@orchestrator
def generator(context):
    seven = yield context.call_activity("first", {"a": 1})
    said = Runner.run_sync(Agent(name="A"), f"hi {seven}").final_output
    last = yield context.call_activity_with_retry("second", df.RetryOptions(5, 2), said)
    return {"last": last}


@orchestrator
def mixed(context):
    go = context.wait_for_external_event("go")
    timer = context.create_timer(context.current_utc_datetime)
    winner = yield context.task_any([go, timer])
    said = Runner.run_sync(Agent(name="A"), f"hi {winner is go}").final_output
    told = yield context.call_sub_orchestrator("child", said)
    return Runner.run_sync(Agent(name="A"), f"again {told}").final_output


@orchestrator
def fan_out(context):
    numbers = yield context.task_all([context.call_activity("first", n) for n in range(2)])
    return Runner.run_sync(Agent(name="A"), str(numbers)).final_output


@orchestrator
def caught(context):
    try:
        yield context.call_activity("first", 1)
    except Exception as error:
        return Runner.run_sync(Agent(name="A"), str(error)).final_output


@orchestrator
def two_agents(context):
    one = Runner.run_sync(Agent(name="A"), "one").final_output
    return one + Runner.run_sync(Agent(name="B"), "two").final_output


@orchestrator
def handover(context):
    @function_tool
    def local(x: int) -> str:
        """Add one."""
        return str(x + 1)

    other = Agent(name="B agent", handoff_description="does b", instructions="b")
    agent = Agent(name="A", handoffs=[other], tools=[local])
    done = Runner.run_sync(agent, "hi")
    return [done.final_output, done.last_agent.name]


@orchestrator
def hosted_tools(context):
    tools = [
        FileSearchTool(vector_store_ids=["v"], max_num_results=3),
        WebSearchTool(),
        ImageGenerationTool(tool_config={"type": "image_generation"}),
        CodeInterpreterTool(tool_config={"type": "code_interpreter", "container": {"type": "auto"}}),
        HostedMCPTool(
            tool_config={
                "type": "mcp",
                "server_label": "s",
                "server_url": "https://x.example",
                "require_approval": "never",
            }
        ),
    ]
    return Runner.run_sync(Agent(name="A", tools=tools), "hi").final_output


@orchestrator
def shell_tool(context):
    return Runner.run_sync(Agent(name="A", tools=[LocalShellTool(executor=lambda _: "x")]), "hi").final_output


@orchestrator
def model_object(context):
    return Runner.run_sync(Agent(name="A", model=Silent()), "hi").final_output


@orchestrator
def asynchronous_and_streamed(context):
    agent = Agent(name="A")
    return [refusal(lambda: asyncio.run(Runner.run(agent, "hi"))), refusal(lambda: Runner.run_streamed(agent, "hi"))]


@orchestrator
def raises(context):
    context.set_custom_status("asking")
    raise ValueError(Runner.run_sync(Agent(name="A"), "hi").final_output)


@orchestrator
def signals(context):
    context.signal_entity(df.EntityId("Counter", "k"), "add", 1)
    return Runner.run_sync(Agent(name="A"), "hi").final_output


@orchestrator
def attributes(context):
    is_context = isinstance(context, df.DurableOrchestrationContext)
    return [type(context).__name__, is_context, context.instance_id, context.new_uuid(), context.get_input()]


@orchestrator
def returns(context):
    return {
        "dict": {"a": 1},
        "model": Answer(city="x", degrees=1),
        "encoded": Encoded(),
        "none": None,
        "list": [1],
        "number": 5,
        "text": "text",
    }[context.get_input()]


# ---- histories


def scheduled(number, name="run_model"):
    return {**TIME, "EventType": 4, "EventId": number, "Name": name}


EPISODE = [{**TIME, "EventType": 13}, {**TIME, "EventType": 12}]


def done(number, result, name="run_model"):
    return [
        scheduled(number, name),
        *EPISODE,
        {**TIME, "EventType": 5, "TaskScheduledId": number, "Result": json.dumps(result)},
    ]


def failed(number, name="run_model"):
    gone = {**TIME, "EventType": 6, "TaskScheduledId": number, "Reason": "reason", "Details": "details"}
    return [scheduled(number, name), *EPISODE, gone]


def waited(number):
    fired = {"FireAt": "2024-03-05T10:00:02.0000000Z"}
    created = {**TIME, "EventType": 10, "EventId": number, **fired}
    return [created, *EPISODE, {**TIME, "EventType": 11, "TimerId": number, **fired}]


def answer(*output):
    usage = {
        "requests": 1,
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return json.dumps({"output": output, "usage": usage, "response_id": "r1"})


def says(text):
    content = [{"annotations": [], "text": text, "type": "output_text", "logprobs": []}]
    return answer({"id": "m1", "content": content, "role": "assistant", "status": "completed", "type": "message"})


def call_of(name, arguments, number=1):
    return {
        "arguments": json.dumps(arguments),
        "call_id": f"c{number}",
        "name": name,
        "type": "function_call",
        "id": f"f{number}",
        "status": "completed",
    }


def calls(name, arguments):
    return answer(call_of(name, arguments))


EVENT = [{**TIME, "EventType": 15, "Name": "go", "Input": "1"}]
TIMER = [{**TIME, "EventType": 10, "EventId": 0, "FireAt": "2024-03-05T10:00:00.0000000Z"}]
CHILD = [
    {**TIME, "EventType": 7, "EventId": 2, "Name": "child"},
    *EPISODE,
    {**TIME, "EventType": 8, "TaskScheduledId": 2, "Result": '"sub"'},
]
WEATHER = done(0, calls("weather", {"city": "Oslo"}))
TWO_CALLS = answer(call_of("weather", {"city": "Oslo"}), call_of("vague", {"anything": [1]}, 2))
ANSWER = says('{"city": "Oslo", "degrees": 3}')
RETRIED = [*failed(0), *waited(1)]


CASES = {
    "plain": ("plain", []),
    "plain_answered": ("plain", done(0, says("hello"))),
    "plain_no_answer": ("plain", done(0, "{}")),
    "retry_waits": ("plain", failed(0)),
    "retry_tries": ("plain", RETRIED),
    "retry_answered": ("plain", [*RETRIED, *done(2, says("hello"))]),
    "retry_exhausted": ("with_own_retries", [*RETRIED, *failed(2), *waited(3)]),
    "own_retries": ("with_own_retries", []),
    "without_retries": ("without_retries", []),
    "without_retries_failed": ("without_retries", failed(0)),
    "tools": ("with_tools", []),
    "tool_called": ("with_tools", WEATHER),
    "tool_answered": ("with_tools", [*WEATHER, *done(1, "sun", "weather")]),
    "tool_done": ("with_tools", [*WEATHER, *done(1, "sun", "weather"), *done(2, ANSWER)]),
    "tool_of_a_model": ("with_tools", done(0, calls("forecast", {"question": {"city": "Oslo", "day": "now"}}))),
    "tool_without_value": ("with_tools", done(0, calls("outlook", {"days": None}))),
    "tool_without_argument": ("with_tools", done(0, calls("outlook", {}))),
    "tool_unknown": ("with_tools", done(0, calls("nowhere", {}))),
    "tool_twice": ("with_tools", done(0, TWO_CALLS)),
    "tool_twice_first": ("with_tools", [*done(0, TWO_CALLS), *done(1, "sun", "weather")]),
    "tool_twice_both": (
        "with_tools",
        [*done(0, TWO_CALLS), *done(1, "sun", "weather"), *done(2, {"k": 1}, "vague")],
    ),
    "tool_of_one_attempt": ("with_tool_of_one_attempt", WEATHER),
    "tool_failed": ("with_tool_of_one_attempt", [*WEATHER, *failed(1, "weather")]),
    "tool_unbounded": ("with_unbounded_tool", []),
    "generator": ("generator", []),
    "generator_model": ("generator", done(0, 7, "first")),
    "generator_second": ("generator", [*done(0, 7, "first"), *done(1, says("hello"))]),
    "generator_done": ("generator", [*done(0, 7, "first"), *done(1, says("hello")), *done(2, "end", "second")]),
    "mixed": ("mixed", []),
    "mixed_event": ("mixed", [*TIMER, *EVENT]),
    "mixed_child": ("mixed", [*TIMER, *EVENT, *done(1, says("one"))]),
    "mixed_again": ("mixed", [*TIMER, *EVENT, *done(1, says("one")), *CHILD]),
    "mixed_done": ("mixed", [*TIMER, *EVENT, *done(1, says("one")), *CHILD, *done(3, says("two"))]),
    "fan_out": ("fan_out", []),
    "fan_out_half": ("fan_out", done(0, 1, "first")),
    "fan_out_model": ("fan_out", [*done(0, 1, "first"), *done(1, 2, "first")]),
    "fan_out_done": ("fan_out", [*done(0, 1, "first"), *done(1, 2, "first"), *done(2, says("z"))]),
    "caught": ("caught", failed(0, "first")),
    "caught_done": ("caught", [*failed(0, "first"), *done(1, says("sorry"))]),
    "two_agents": ("two_agents", []),
    "two_agents_half": ("two_agents", done(0, says("a"))),
    "two_agents_done": ("two_agents", [*done(0, says("a")), *done(1, says("b"))]),
    "handover": ("handover", []),
    "handover_local": ("handover", done(0, calls("local", {"x": 1}))),
    "handover_other": ("handover", done(0, calls("transfer_to_b_agent", {}))),
    "handover_done": ("handover", [*done(0, calls("transfer_to_b_agent", {})), *done(1, says("from b"))]),
    "hosted_tools": ("hosted_tools", []),
    "shell_tool": ("shell_tool", []),
    "model_object": ("model_object", []),
    "asynchronous_and_streamed": ("asynchronous_and_streamed", []),
    "raises": ("raises", done(0, says("bad"))),
    "signals": ("signals", []),
    "signals_done": ("signals", [{**TIME, "EventType": 14, "EventId": 0}, *done(1, says("x"))]),
    "attributes": ("attributes", []),
    **{
        f"returns_{kind}": ("returns", [], kind)
        for kind in ("dict", "model", "encoded", "none", "list", "number", "text")
    },
}


# ---- running


def run(name):
    """Return what an orchestrator answers to the trigger of a case."""
    orchestrator_name, history, *given = CASES[name]
    started = [{**TIME, "EventType": 12}, {**TIME, "EventType": 0, "Name": "Flow", "Version": "", "Input": None}]
    trigger = {
        "history": [*started, *history],
        "input": json.dumps(given[0]) if given else None,
        "instanceId": "i",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
    }
    try:
        return {"state": shown(json.loads(ORCHESTRATORS[orchestrator_name](json.dumps(trigger))))}
    except Exception as error:
        text, _, state = str(error).partition(MARKER)
        return {"raised": text, "state": shown(json.loads(state)) if state else None}


def shown(value):
    """Return a state with its texts parsed, and without nulls in a model's request."""
    if isinstance(value, list):
        return [shown(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("functionName") == "run_model":
        value = {**value, "input": without_nulls(json.loads(json.loads(value["input"])))}
    return {key: shown(each) for key, each in value.items()}


def without_nulls(value):
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(each) for key, each in value.items() if each is not None}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: run(name) for name in CASES}
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")
