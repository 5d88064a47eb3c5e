import json
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.entity import InternalEntityException
from azure.durable_functions.models.entities import EntityState, OperationResult, RequestMessage, Signal
from azure.durable_functions.models.entities.ResponseMessage import ResponseMessage


def batch(*operations: tuple[str | None, Any], state: Any = "10", exists: bool = True, **more: Any) -> str:
    rows = [{"name": name, "input": input_, "isSignal": False} for name, input_ in operations]
    return json.dumps(
        {"self": {"name": "counter", "key": "Main"}, "exists": exists, "state": state, "batch": rows, **more}
    )


def answer(function: Any, text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(df.Entity.create(function)(text))
    return found


def results(function: Any, *operations: tuple[str, Any], **keywords: Any) -> list[tuple[bool, Any]]:
    found = answer(function, batch(*operations, **keywords))
    return [(row["isError"], json.loads(row["result"])) for row in found["results"]]


def echo(context):
    context.set_result(context.get_input())


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        ('"1"', 1),
        ('"null"', None),
        ('"\\"x\\""', "x"),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("1", 1),
        ("null", None),
        (None, None),
        ('{"a": 1}', {"a": 1}),
        ('"x"', "x"),
        ("x", "x"),
        (5, 5),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_input_is_understood_encoded_twice_once_and_not_at_all(sent, got):
    assert results(echo, ("echo", sent)) == [(False, got)]


def test_result_of_an_operation_is_not_that_of_the_one_before():
    def first_only(context):
        if context.operation_name == "first":
            context.set_result("first")

    assert results(first_only, ("first", None), ("second", None)) == [(False, "first"), (False, None)]


def test_result_is_fixed_when_the_operation_ends():
    def append(context):
        state = context.get_state(list)
        state.append(context.operation_name)
        context.set_state(state)
        context.set_result(state)

    assert results(append, ("a", None), ("b", None), state=None) == [(False, ["a"]), (False, ["a", "b"])]


def test_returned_value_is_the_result_unless_one_was_set():
    def both(context):
        if context.operation_name == "set":
            context.set_result(None)
        return "returned"

    assert results(both, ("set", None), ("other", None)) == [(False, None), (False, "returned")]


def test_returned_value_that_cannot_be_encoded_is_ignored():
    assert results(lambda context: object(), ("x", None)) == [(False, None)]


def test_failed_operation_keeps_what_it_changed_and_the_batch_goes_on():
    def fail(context):
        if context.operation_name == "fail":
            context.set_state(-1)
            raise ValueError("no")
        context.set_result(context.get_state())

    found = answer(fail, batch(("fail", None), ("get", None)))

    assert [(row["isError"], row["result"]) for row in found["results"]] == [(True, '"no"'), (False, "-1")]
    assert (found["entityExists"], found["entityState"]) == (True, "-1")


def test_result_that_cannot_be_encoded_fails_its_operation_alone():
    def odd(context):
        context.set_result({1} if context.operation_name == "odd" else 1)

    assert results(odd, ("odd", None), ("even", None)) == [
        (True, "class <class 'set'> does not expose a `to_json` function"),
        (False, 1),
    ]


def test_state_that_nobody_touched_is_handed_back_byte_for_byte():
    assert answer(echo, batch(("x", None), state='{"raw":  true}'))["entityState"] == '{"raw":  true}'


def test_state_changed_in_place_is_stored():
    def grow(context):
        context.get_state()["n"] += 1

    assert answer(grow, batch(("x", None), ("x", None), state='{"n": 1}'))["entityState"] == '{"n": 3}'


def test_deleted_entity_has_no_state_and_does_not_exist():
    found = answer(lambda context: context.destruct_on_exit(), batch(("delete", None)))

    assert (found["entityExists"], found["entityState"]) == (False, "null")


def test_further_keys_of_the_trigger_are_ignored():
    assert answer(echo, batch(("x", "1"), rollback=True))["results"][0]["result"] == "1"


def test_missing_key_of_the_trigger_is_named():
    with pytest.raises(ValueError, match="The entity trigger has no 'state'"):
        answer(echo, json.dumps({"self": {"name": "n", "key": "k"}, "exists": True, "batch": []}))


def test_operation_without_a_name_is_an_internal_error():
    with pytest.raises(InternalEntityException, match="Entity operation was missing a name field"):
        answer(echo, batch((None, None)))


def test_what_runs_no_operation_has_no_operation_name():
    context, _ = df.DurableEntityContext.from_json(batch())

    with pytest.raises(Exception, match="Entity operation is unassigned"):
        _ = context.operation_name


def test_initializer_must_be_callable():
    with pytest.raises(Exception, match="initializer argument needs to be a callable function"):
        df.DurableEntityContext("n", "k", False, None).get_state(3)  # type: ignore[arg-type]


def test_coroutine_and_generator_functions_are_told_that_they_do_not_run():
    async def asynchronous(context): ...

    def generating(context):
        yield

    assert results(asynchronous, ("x", None))[0][1].startswith("an entity function must be a plain function")
    assert results(generating, ("x", None))[0][1].startswith("an entity function must not yield")


def test_handle_takes_an_object_with_a_body_and_keeps_the_users_function():
    class Trigger:
        body = batch(("x", "1"))

    handle = df.Entity.create(echo)

    assert json.loads(handle(Trigger()))["results"][0]["result"] == "1"
    assert handle.entity_function is echo  # type: ignore[attr-defined]


class Point:
    def __init__(self, x):
        self.x = x

    def to_json(self):
        return {"x": self.x}

    @staticmethod
    def from_json(data):
        return Point(data["x"])


@pytest.mark.filterwarnings("ignore:azure.functions Durable JSON codec:DeprecationWarning")
def test_custom_classes_are_states_and_results():
    def move(context):
        point = context.get_state(lambda: Point(0), expected_type=Point)
        point = Point(point.x + 1)
        context.set_state(point)
        context.set_result([point])

    first = answer(move, batch(("x", None), state=None))
    second = answer(move, batch(("x", None), state=first["entityState"]))

    assert json.loads(second["entityState"]) == {"__class__": "Point", "__module__": __name__, "__data__": {"x": 2}}
    assert json.loads(second["results"][0]["result"])[0]["__data__"] == {"x": 2}


# Entity classes


class Counter(df.DurableEntity):
    limit = 5

    def add(self, amount: int) -> int:
        total = self.get_state(int, default=0) + amount
        self.set_state(total)
        return total

    def get(self) -> int:
        return self.get_state(default=0)

    def explode(self):
        raise ValueError("boom")

    def _private(self): ...


def test_methods_of_an_entity_class_are_its_operations():
    found = answer(Counter, batch(("add", '"2"'), ("get", None), state=None, exists=False))

    assert [row["result"] for row in found["results"]] == ["2", "2"]
    assert (found["entityExists"], found["entityState"]) == (True, "2")


def test_entity_class_can_be_deleted_and_fail():
    found = answer(Counter, batch(("explode", None), ("delete", None)))

    assert [(row["isError"], row["result"]) for row in found["results"]] == [(True, '"boom"'), (False, "null")]
    assert found["entityExists"] is False


@pytest.mark.parametrize("name", ["missing", "_private", "set_state", "limit", "context"])
def test_what_is_no_operation_of_an_entity_class_is_refused(name):
    assert results(Counter, (name, None)) == [(True, f"entity Counter has no operation {name!r}")]


# Values


def test_entity_state_with_signals_is_written_as_the_host_reads_it():
    signal = Signal(df.EntityId("Other", "k"), "op", "1")

    state = EntityState([OperationResult(False, 1, 2, "r")], [signal], True, {"a": 1})

    assert json.loads(state.to_json_string()) == {
        "entityExists": True,
        "entityState": '{"a": 1}',
        "results": [{"isError": False, "duration": 1, "startTime": 2, "result": '"r"'}],
        "signals": [{"target": {"name": "Other", "key": "k"}, "name": "op", "input": "1"}],
    }


def test_messages_of_a_history_are_read():
    request = RequestMessage.from_json('{"id": "i", "op": "add", "signal": true, "parent": "p"}')
    failure = ResponseMessage.from_dict({"result": "r", "exceptionType": None})

    assert (request.id, request.signal, request.parent) == ("i", True, "p")
    assert (failure.result, failure.is_exception) == ("r", True)
    assert not ResponseMessage.from_dict({"result": "r"}).is_exception
