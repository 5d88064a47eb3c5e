"""Calls of models as activities: the request and the answer as JSON, on both sides.

The form is the reference's, so that an instance that one package has begun can go on with the other.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import TYPE_CHECKING, Any, cast

from agents import (
    AgentOutputSchemaBase,
    CodeInterpreterTool,
    FileSearchTool,
    FunctionTool,
    Handoff,
    HostedMCPTool,
    ImageGenerationTool,
    Model,
    ModelProvider,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    OpenAIProvider,
    UserError,
    WebSearchTool,
)
from azure.durable_functions.openai_agents._calls import current_calls
from pydantic import TypeAdapter
from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from agents import Tool

MODEL_ACTIVITY = "run_model"
"""Name by which orchestrators call models."""


@functools.cache
def _json_of(kind: Any) -> TypeAdapter[Any]:
    """Return what reads and writes a type of the library; made at first use, because that takes long."""
    return TypeAdapter(kind)


# ---- in the orchestrator


class ActivityModelProvider(ModelProvider):
    """Gives models that an activity calls."""

    def get_model(self, model_name: str | None) -> Model:
        """Return the model of a name; ``None`` for the provider's default."""
        return _ActivityModel(model_name)


class _ActivityModel(Model):
    def __init__(self, name: str | None) -> None:
        self._name = name

    async def get_response(
        self,
        system_instructions: str | None,
        input: Any,
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: Any = None,
    ) -> ModelResponse:
        request = {
            "input": input,
            "model_settings": _json_of(ModelSettings).dump_python(model_settings, mode="json"),
            "tracing": ModelTracing.DISABLED.value,
            "model_name": self._name,
            "system_instructions": system_instructions,
            "tools": [_tool_as_json(tool) for tool in tools],
            "output_schema": None if output_schema is None else _schema_as_json(output_schema),
            "handoffs": [_handoff_as_json(handoff) for handoff in handoffs],
            "previous_response_id": previous_response_id,
            "prompt": prompt,
        }
        if conversation_id is not None:
            request["conversation_id"] = conversation_id
        return _call_model(to_json(request).decode())

    def stream_response(self, *arguments: Any, **keywords: Any) -> AsyncIterator[Any]:
        raise NotImplementedError("Durable Functions do not support streaming.")


def _call_model(request: str) -> ModelResponse:
    calls = current_calls()
    if calls is None:
        raise RuntimeError("The model of an orchestrator was called outside of it.")
    if calls.model_retry_options is None:
        task = calls.context.call_activity(MODEL_ACTIVITY, request)
    else:
        task = calls.context.call_activity_with_retry(MODEL_ACTIVITY, calls.model_retry_options, request)
    response: ModelResponse = _json_of(ModelResponse).validate_json(calls.result_of(task))
    return response


# ---- in the activity


def model_activity(provider: ModelProvider | None) -> Callable[[str], Any]:
    """Return the activity that calls models.

    Args:
        provider: where models come from; OpenAI's by default, made at the first call.
    """

    @functools.cache
    def models() -> ModelProvider:
        return provider or OpenAIProvider()

    async def run_model_activity(input: str) -> str:
        request = json.loads(input)
        model = models().get_model(request.get("model_name"))
        response = await model.get_response(
            system_instructions=request.get("system_instructions"),
            input=request["input"],
            model_settings=_json_of(ModelSettings).validate_python(request.get("model_settings") or {}),
            tools=[_tool_from_json(tool) for tool in request.get("tools") or ()],
            output_schema=_schema_from_json(request.get("output_schema")),
            handoffs=[_handoff_from_json(handoff) for handoff in request.get("handoffs") or ()],
            tracing=ModelTracing(request.get("tracing") or 0),
            previous_response_id=request.get("previous_response_id"),
            conversation_id=request.get("conversation_id"),
            prompt=request.get("prompt"),
        )
        return _json_of(ModelResponse).dump_json(response).decode()

    run_model_activity._df_model_provider = provider  # type: ignore[attr-defined]  # the app keeps one of several alike
    return run_model_activity


# ---- tools


_CONFIGURED: dict[str, type[Any]] = {
    "image_generation": ImageGenerationTool,
    "code_interpreter": CodeInterpreterTool,
    "mcp": HostedMCPTool,
}
"""Tools that the model's host runs, and that are nothing but their configuration; by its type."""


def _tool_as_json(tool: Tool) -> dict[str, Any]:
    if isinstance(tool, FunctionTool):
        return {
            "name": tool.name,
            "description": tool.description,
            "params_json_schema": tool.params_json_schema,
            "strict_json_schema": tool.strict_json_schema,
        }
    if isinstance(tool, (FileSearchTool, WebSearchTool)):
        return {field.name: getattr(tool, field.name) for field in dataclasses.fields(tool)}
    if isinstance(tool, tuple(_CONFIGURED.values())):
        return {"tool_config": cast("Any", tool).tool_config}
    raise ValueError(f"Unsupported tool type for Durable Functions: {type(tool).__name__}")


def _tool_from_json(found: dict[str, Any]) -> Tool:
    if "params_json_schema" in found:
        return FunctionTool(**found, on_invoke_tool=_not_here)
    if "vector_store_ids" in found:
        return FileSearchTool(**_known(FileSearchTool, found))
    if "tool_config" in found:
        return cast("Tool", _CONFIGURED[found["tool_config"]["type"]](tool_config=found["tool_config"]))
    return WebSearchTool(**_known(WebSearchTool, found))


def _known(cls: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Leave out fields that this version of the agents library does not have."""
    names = {field.name for field in dataclasses.fields(cls)}
    return {name: value for name, value in found.items() if name in names}


async def _not_here(*arguments: Any) -> Any:
    raise UserError("Tools and handoffs of an orchestrator's agent are run there, and not where its model is called.")


# ---- output and handoffs


def _schema_as_json(schema: AgentOutputSchemaBase) -> dict[str, Any]:
    return {
        "output_type_name": schema.name(),
        "output_schema": None if schema.is_plain_text() else schema.json_schema(),
        "strict_json_schema": schema.is_strict_json_schema(),
    }


def _schema_from_json(found: dict[str, Any] | None) -> AgentOutputSchemaBase | None:
    return None if found is None else _OutputSchema(**found)


@dataclasses.dataclass(frozen=True, slots=True)
class _OutputSchema(AgentOutputSchemaBase):
    """What a model is told of its output; the orchestrator is where that is read."""

    output_type_name: str
    output_schema: dict[str, Any] | None
    strict_json_schema: bool

    def is_plain_text(self) -> bool:
        return self.output_schema is None

    def name(self) -> str:
        return self.output_type_name

    def json_schema(self) -> dict[str, Any]:
        if self.output_schema is None:
            raise UserError("Plain text has no schema.")
        return self.output_schema

    def is_strict_json_schema(self) -> bool:
        return self.strict_json_schema

    def validate_json(self, json_str: str) -> Any:
        raise UserError("The output of an orchestrator's agent is read there, and not where its model is called.")


def _handoff_as_json(handoff: Handoff[Any, Any]) -> dict[str, Any]:
    return {
        "tool_name": handoff.tool_name,
        "tool_description": handoff.tool_description,
        "input_json_schema": handoff.input_json_schema,
        "agent_name": handoff.agent_name,
        "strict_json_schema": handoff.strict_json_schema,
    }


def _handoff_from_json(found: dict[str, Any]) -> Handoff[Any, Any]:
    return Handoff(**found, on_invoke_handoff=_not_here)
