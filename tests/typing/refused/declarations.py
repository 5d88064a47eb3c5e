"""What must not type-check in decorators, clients, entities and values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from azure.durable_functions.testing import orchestrator_generator_wrapper

app = df.DFApp()
blueprint = df.Blueprint(http_auth_level=1)  # mypy: arg-type; pyright: ArgumentType


@app.activity_trigger()  # mypy: call-arg; pyright: CallIssue
def nameless(n: int) -> int:
    return n


@app.activity_trigger(input="n")  # mypy: call-arg; pyright: CallIssue
def misspelt(n: int) -> int:
    return n


@app.orchestration_trigger(context_name="n")  # mypy: arg-type; pyright: ArgumentType
def no_context(n: int) -> int:
    return n


@app.orchestration_trigger(context_name="context")  # mypy: arg-type; pyright: ArgumentType
def too_many(context: df.DurableOrchestrationContext, n: int) -> int:
    return n


@app.entity_trigger(context_name="context")  # mypy: type-var; pyright: ArgumentType
def no_entity(context: df.DurableOrchestrationContext) -> None:
    pass


@app.entity_trigger(context_name="context")  # mypy: -; pyright: ArgumentType
class NoEntity:  # mypy: type-var; pyright: -
    pass


@app.orchestration_trigger(context_name="context", input_type="Order")  # mypy: arg-type; pyright: ArgumentType
def quoted(context: df.DurableOrchestrationContext) -> int:
    return 1


@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    return 2 * n


@app.orchestration_trigger(context_name="context")
async def orchestrator(context: df.DurableOrchestrationContext) -> int:
    return 1


async def client_calls(client: df.DurableOrchestrationClient, req: func.HttpRequest) -> None:
    await client.start_new(double)  # mypy: arg-type; pyright: ArgumentType
    await client.start_new(None)  # mypy: arg-type; pyright: ArgumentType
    await client.start_new(len)  # mypy: arg-type; pyright: ArgumentType
    text: int = await client.start_new(orchestrator)  # mypy: assignment; pyright: AssignmentType
    await client.get_status()  # mypy: call-arg; pyright: CallIssue
    status = await client.get_status("x")
    print(status.runtime_status.name)  # mypy: union-attr; pyright: OptionalMemberAccess
    print(
        status.run_time_status  # mypy: attr-defined; pyright: AttributeAccessIssue
    )
    await client.terminate("x")  # mypy: call-arg; pyright: CallIssue
    await client.signal_entity("Counter", "add")  # mypy: arg-type; pyright: ArgumentType
    await client.get_status_by(runtime_status=["Failed"])  # mypy: list-item; pyright: ArgumentType
    await client.create_check_status_response(req, "x")  # mypy: misc; pyright: GeneralTypeIssues
    client.schedule_new_orchestration("x")  # mypy: attr-defined; pyright: AttributeAccessIssue
    print(text)


def blocking_calls(client: df.SyncDurableFunctionsClient) -> str:
    client.start_new(double)  # mypy: arg-type; pyright: ArgumentType
    return client.get_status("x")  # mypy: return-value; pyright: ReturnType


def entity_calls(context: df.DurableEntityContext) -> None:
    context.get_state(0)  # mypy: call-overload; pyright: ArgumentType
    number: str = context.get_state(lambda: 0, int)  # mypy: assignment; pyright: AssignmentType
    context.get_input(int) + 1  # mypy: operator; pyright: OptionalOperand
    print(
        number,
        context.operation,  # mypy: attr-defined; pyright: AttributeAccessIssue
    )


def values() -> None:
    df.RetryOptions(1000)  # mypy: call-arg; pyright: CallIssue
    df.RetryOptions("1000", 3)  # mypy: arg-type; pyright: ArgumentType
    df.RetryOptions(1000, 3, 2.0)  # mypy: call-arg; pyright: CallIssue
    df.RetryOptions(1000, 3, handle=1)  # mypy: arg-type; pyright: ArgumentType
    df.RetryPolicy(1000, 3)  # mypy: arg-type; pyright: ArgumentType
    df.RetryPolicy(timedelta(1), 3, handle=lambda: True)  # mypy: arg-type; pyright: ArgumentType
    df.EntityId("Counter")  # mypy: call-arg; pyright: CallIssue
    df.EntityId(1, "main")  # mypy: arg-type; pyright: ArgumentType
    df.DFApp(auth_level=func.AuthLevel.ANONYMOUS)  # mypy: call-arg; pyright: CallIssue
    df.Orchestrator.create(len)  # mypy: arg-type; pyright: ArgumentType
    df.Entity.create(lambda: None)  # mypy: type-var; pyright: ArgumentType
    df.NoSuchThing()  # mypy: attr-defined; pyright: AttributeAccessIssue


def tested(context: Any) -> None:
    orchestrator_generator_wrapper([1])  # mypy: arg-type; pyright: ArgumentType
    double("x")  # mypy: arg-type; pyright: ArgumentType
    orchestrator.build().get_user_function().client_function()  # mypy: attr-defined; pyright: AttributeAccessIssue
    double.build().get_user_function()("x")  # mypy: arg-type; pyright: ArgumentType
