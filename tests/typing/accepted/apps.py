"""Blueprints, function.json, and how apps are tested."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from unittest.mock import MagicMock

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions.testing import orchestrator_generator_wrapper
from typing_extensions import assert_type

blueprint = df.Blueprint()
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@blueprint.activity_trigger(input_name="city")
def hello(city: str) -> str:
    return city


@blueprint.orchestration_trigger(context_name="context")
def greet(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, list[str]]:
    first = yield from context.call_activity(hello, "Oslo")
    return [first]


app.register_functions(blueprint)
df.DFApp().register_blueprint(blueprint)


def in_a_folder(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, int]:
    yield context.call_activity("Hello", "Oslo")
    return 1


main = df.Orchestrator.create(in_a_folder)
activity = df.Activity.create(len)


def test_greet() -> None:
    context = MagicMock(spec=df.DurableOrchestrationContext)
    orchestrate = greet.build().get_user_function().orchestrator_function
    generator = orchestrate(context)
    assert_type(generator, Generator[df.Task, Any, list[str]])
    values = list(orchestrator_generator_wrapper(generator))
    assert values[-1] == ["Oslo"]
    assert_type(main.orchestrator_function(context), Generator[df.Task, Any, int])
    assert_type(main("{}"), str)
    assert_type(greet("{}"), str)
    task = df.TaskBase[str](None, [])
    task.set_value(is_error=False, value="Oslo")
    context.call_activity.side_effect = [task]


def reached_through_the_package(error: Exception) -> None:
    """As attributes, without importing them."""
    assert_type(df.models.TaskBase[int](None, []), df.Task[int])
    assert_type(df.models.actions.CallActivityAction("A").function_name, str)
    print(df.constants.DEFAULT_LOCAL_HOST)
    if isinstance(error, df.errors.TaskFailedError):
        print(error.reason)
