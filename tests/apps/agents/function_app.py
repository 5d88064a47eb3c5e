"""An agent that looks at the weather, with a model that answers from a script instead of a service."""

import json

import azure.durable_functions as df
import azure.functions as func
from agents import Agent, Model, ModelProvider, ModelResponse, Runner, Usage
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


class Scripted(Model):
    """Asks for the weather first, and then says it."""

    async def get_response(self, system_instructions, input, *arguments, **keywords):
        results = [item["output"] for item in input if item.get("type") == "function_call_output"]
        if not results:
            asked = json.dumps({"city": input[0]["content"]})
            output = ResponseFunctionToolCall(arguments=asked, call_id="c1", name="weather", type="function_call")
        else:
            text = ResponseOutputText(annotations=[], text=f"It is: {results[0]}", type="output_text")
            output = ResponseOutputMessage(
                id="m1", content=[text], role="assistant", status="completed", type="message"
            )
        return ModelResponse(output=[output], usage=Usage(), response_id=None)

    def stream_response(self, *arguments, **keywords):
        raise NotImplementedError


class Scripts(ModelProvider):
    def get_model(self, model_name):
        return Scripted()


@app.route(route="ask/{city}", methods=["POST"])
def ask(req: func.HttpRequest, client: df.SyncDurableFunctionsClient) -> func.HttpResponse:
    instance_id = client.start_new("clerk", client_input=req.route_params["city"])
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
@app.durable_openai_agent_orchestrator(model_provider=Scripts())
def clerk(context):
    context.logger.info("asked")
    agent = Agent(name="Clerk", tools=[context.create_activity_tool(weather)])
    said = Runner.run_sync(agent, context.get_input()).final_output
    context.logger.info("answered")
    return said


@app.activity_trigger(input_name="city")
def weather(city: str) -> str:
    """Look at the sky."""
    return f"rain in {city}"
