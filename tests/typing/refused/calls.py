"""What must not type-check; each comment names what the two type checkers say of its line."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime
from typing import Any

import azure.durable_functions as df

app = df.DFApp()
START = datetime(2024, 3, 5)
counter = df.EntityId("Counter", "main")


@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    return 2 * n


@app.activity_trigger(input_name="n")
async def half(n: int) -> float:
    return n / 2


@app.activity_trigger(input_name="n")
def unique(n: int) -> set[int]:
    return {n}


def undecorated(n: int) -> int:
    return n


@app.orchestration_trigger(context_name="context")
def child(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, str]:
    yield context.call_activity(double, 1)
    return "x"


@app.orchestration_trigger(context_name="context")
def iterates(context: df.DurableOrchestrationContext) -> Iterator[df.Task]:
    yield context.call_activity(double, 1)


@app.entity_trigger(context_name="context")
def entity(context: df.DurableEntityContext) -> None:
    context.set_state(1)


@app.orchestration_trigger(context_name="context")
async def results(context: df.DurableOrchestrationContext) -> None:
    text: str = await context.call_activity(double, 1)  # mypy: arg-type; pyright: AssignmentType
    whole: int = await context.call_activity(half, 1)  # mypy: arg-type; pyright: AssignmentType
    number: int = await context.call_sub_orchestrator(child)  # mypy: arg-type; pyright: AssignmentType
    both: list[str] = await context.task_all(  # mypy: -; pyright: AssignmentType
        [context.call_activity(double, 1)]  # mypy: arg-type; pyright: -
    )
    winner: int = await context.task_any(  # mypy: assignment; pyright: AssignmentType
        [context.call_activity(double, 1)]
    )
    event: str = await context.wait_for_external_event("go", bool)  # mypy: arg-type; pyright: AssignmentType
    read: str = await context.call_entity(counter, "get", None, int)  # mypy: arg-type; pyright: AssignmentType
    timer: int = await context.create_timer(START)  # mypy: assignment, func-returns-value; pyright: AssignmentType
    order: str = await context.call_activity("order", expected_type=int)  # mypy: arg-type; pyright: AssignmentType
    print(text, whole, number, both, winner, event, read, timer, order)


@app.orchestration_trigger(context_name="context")
def generator_results(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, int]:
    text: str = yield from context.call_activity(double, 1)  # mypy: assignment; pyright: AssignmentType
    print(text)
    yield 1  # mypy: misc; pyright: ReturnType
    return (yield from context.call_sub_orchestrator(child))  # mypy: return-value; pyright: ReturnType


@app.orchestration_trigger(context_name="context")
async def targets(context: df.DurableOrchestrationContext) -> None:
    await context.call_activity(undecorated, 1)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_activity(child, 1)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_activity(entity, 1)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_activity(unique, 1)  # mypy: arg-type; pyright: ArgumentType, CallIssue
    await context.call_activity(double, 1, expected_type="int")  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_activity(7)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_activity()  # mypy: call-overload; pyright: CallIssue
    await context.call_activity(double, 1, 2, 3)  # mypy: call-overload; pyright: CallIssue
    await context.call_activity_with_retry(double, 1)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_sub_orchestrator(double)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_sub_orchestrator(undecorated)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_sub_orchestrator(iterates)  # mypy: arg-type; pyright: ArgumentType, CallIssue
    await context.call_sub_orchestrator_with_retry(child, None)  # mypy: call-overload; pyright: ArgumentType, CallIssue
    await context.call_entity("Counter", "get")  # mypy: call-overload; pyright: ArgumentType
    await context.task_all(context.call_activity(double, 1))  # mypy: arg-type; pyright: ArgumentType
    await context.task_all([1, 2])  # mypy: arg-type; pyright: ArgumentType
    await context.task_any([double(1)])  # mypy: arg-type; pyright: ArgumentType
    await context.create_timer(60)  # mypy: arg-type; pyright: ArgumentType
    await context.call_http("GET", "https://x.test", headers=["a"])  # mypy: arg-type; pyright: ArgumentType
    context.continue_as_new()  # mypy: call-arg; pyright: CallIssue
    await double(1)  # mypy: misc; pyright: GeneralTypeIssues


@app.orchestration_trigger(context_name="context")
async def attributes(context: df.DurableOrchestrationContext) -> None:
    task = context.call_activity(double, 1)
    task.cancel()  # mypy: attr-defined; pyright: AttributeAccessIssue
    (await task).upper()  # mypy: attr-defined; pyright: AttributeAccessIssue
    answer = await context.call_http("GET", "https://x.test")
    print(answer.status_code)  # mypy: attr-defined; pyright: AttributeAccessIssue
    answer["status_code"]  # mypy: typeddict-item; pyright: GeneralTypeIssues
    print(context.instance_id + 1)  # mypy: operator; pyright: OperatorIssue
    context.instance_id = "x"  # mypy: misc; pyright: AttributeAccessIssue
    context.get_input(expected_type=int) + 1  # mypy: operator; pyright: OptionalOperand
