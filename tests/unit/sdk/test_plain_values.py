"""Values of types that JSON does not have: out as plain JSON, back where an annotation or ``expected_type`` says so."""

# ruff: noqa: UP007, UP045 (both spellings of a union are tried)

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
import typing
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union
from uuid import UUID

import azure.durable_functions as df
import azure.functions as func
import msgspec
import pydantic
import pytest
from azure.durable_functions._conversion import converter_for, type_name
from azure.durable_functions._serialization import compact_json, df_dumps, df_loads
from azure.durable_functions.replay import OrchestrationSession, Returned
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.contexts import context_text, event, run, run_failing

ID = UUID("12345678-1234-5678-1234-567812345678")
WHEN = datetime(2024, 3, 5, 10, 0, 0, 250_000, tzinfo=timezone.utc)


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1


class Size(str, enum.Enum):
    SMALL = "s"


class Flags(enum.Flag):
    A = 1
    B = 2


@dataclass
class Line:
    item: str
    price: Decimal
    count: int = 1


@dataclass(frozen=True)
class Order:
    id: UUID
    color: Color
    at: datetime
    lines: list[Line]
    tags: set[str] = field(default_factory=set)
    notes: dict[int, str | None] = field(default_factory=dict)
    parent: Order | None = None
    total: float = 0.0
    made: str = field(init=False, default="here")


@dataclass
class Checked:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError("n is negative")


class Person(pydantic.BaseModel):
    name: str
    born: date
    shade: Color = Color.RED
    friends: list[Person] = []


class Point(msgspec.Struct):
    x: int
    at: datetime
    names: dict[str, int] = {}


class Money:
    """Travels by the reference's rule."""

    def __init__(self, amount: Any) -> None:
        self.amount = amount

    def to_json(self) -> Any:
        return self.amount

    @staticmethod
    def from_json(data: Any) -> Money:
        return Money(data)


class Shape(TypedDict):
    at: datetime
    n: int


# azure.functions says so once in a process, to whoever is the first.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    items: list[T]
    next: T | None = None


@dataclass
class LinePage(Page[Line]):
    number: int = 1


class Envelope(msgspec.Struct, Generic[T]):
    item: T


class Span(NamedTuple):
    start: datetime
    length: int


OrderId = NewType("OrderId", UUID)
LINE = Line("tea", Decimal("2.50"), 3)
ORDER = Order(ID, Color.GREEN, WHEN, [LINE], {"a"}, {7: None}, Order(ID, Color.RED, WHEN, []), 5.0)
ANNA = Person(name="Anna", born=date(2000, 1, 2), friends=[Person(name="Bo", born=date(2001, 1, 2), shade=Color.GREEN)])

SAMPLES: list[tuple[Any, Any, Any]] = [
    (WHEN, datetime, "2024-03-05T10:00:00.250000+00:00"),
    (date(2024, 3, 5), date, "2024-03-05"),
    (time(10, 30), time, "10:30:00"),
    (timedelta(minutes=1, milliseconds=5), timedelta, 60.005),
    (ID, UUID, str(ID)),
    (ID, OrderId, str(ID)),
    (Decimal("1.10"), Decimal, "1.10"),
    (Color.RED, Color, "red"),
    (Level.LOW, Level, 1),
    (Size.SMALL, Size, "s"),
    (Flags.A | Flags.B, Flags, 3),
    (LINE, Line, {"item": "tea", "price": "2.50", "count": 3}),
    ([LINE], list[Line], [{"item": "tea", "price": "2.50", "count": 3}]),
    ({"k": LINE}, dict[str, Line], {"k": {"item": "tea", "price": "2.50", "count": 3}}),
    ({Color.RED: 1}, dict[Color, int], {"red": 1}),
    ({ID: WHEN}, dict[UUID, datetime], {str(ID): "2024-03-05T10:00:00.250000+00:00"}),
    ((1, Color.RED), tuple[int, Color], [1, "red"]),
    ((Color.RED,), tuple[Color, ...], ["red"]),
    (None, Optional[Line], None),
    (LINE, Line | None, {"item": "tea", "price": "2.50", "count": 3}),
    (LINE, Optional[Line], {"item": "tea", "price": "2.50", "count": 3}),
    (Color.RED, Union[int, Color], "red"),
    ({"at": WHEN, "n": 1}, Shape, {"at": "2024-03-05T10:00:00.250000+00:00", "n": 1}),
    (ANNA, Person, {
        "name": "Anna", "born": "2000-01-02", "shade": "red",
        "friends": [{"name": "Bo", "born": "2001-01-02", "shade": "green", "friends": []}],
    }),
    ([ANNA], list[Person], None),
    (Point(1, WHEN, {"a": 1}), Point, {"x": 1, "at": "2024-03-05T10:00:00.250000Z", "names": {"a": 1}}),
    (ORDER, Order, None),
    (Page([LINE]), Page[Line], {"items": [{"item": "tea", "price": "2.50", "count": 3}], "next": None}),
    (Page([Color.RED], Color.GREEN), Page[Color], {"items": ["red"], "next": "green"}),
    (Page([1]), Page, {"items": [1], "next": None}),
    (LinePage([], LINE), LinePage, None),
    (Envelope(LINE), Envelope[Line], {"item": {"item": "tea", "price": "2.50", "count": 3}}),
    (Span(WHEN, 5), Span, ["2024-03-05T10:00:00.250000+00:00", 5]),
    ({1.5: WHEN}, dict[float, datetime], {"1.5": "2024-03-05T10:00:00.250000+00:00"}),
    ({True: WHEN, False: WHEN}, dict[bool, datetime], None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected", "wire"), SAMPLES, ids=[f"{n}-{type_name(s[1])}" for n, s in enumerate(SAMPLES)]
)
def test_a_value_is_plain_on_the_wire_and_comes_back_as_its_type(value: Any, expected: Any, wire: Any) -> None:
    text = df_dumps(value)

    if wire is not None:
        assert json.loads(text) == wire
    assert "__class__" not in text
    assert json.loads(compact_json(value)) == json.loads(text)
    back = df_loads(text, expected)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [1, "a", None, True, [1, {"a": [None]}], {"k": 1.5}, (1, 2), Size.SMALL, Level.LOW])
def test_what_json_has_is_on_the_wire_as_before(value: Any) -> None:
    assert df_dumps(value) == json.dumps(value)


def test_custom_classes_travel_in_their_envelopes_as_before() -> None:
    envelope = {"__class__": "Money", "__module__": __name__, "__data__": 5}

    assert json.loads(df_dumps({"m": Money(5)})) == {"m": envelope}
    assert json.loads(df_dumps([Money(5), WHEN])) == [envelope, WHEN.isoformat()]
    assert json.loads(df_dumps(Money(WHEN))) == {**envelope, "__data__": WHEN.isoformat()}


@pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")
def test_custom_classes_within_dataclasses_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    text = df_dumps(Purse(Money(5)))

    assert df_loads(text, Purse).money.amount == 5
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")
    assert df_loads(text, Purse).money.amount == 5


@dataclass
class Purse:
    money: Money


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", [{"a": {1}}], Money({1})])
def test_what_the_reference_refuses_and_nobody_asked_for_is_refused_with_its_text(value: Any) -> None:
    with pytest.raises(TypeError, match="does not expose a `to_json` function"):
        df_dumps(value)


@pytest.mark.parametrize(
    "expected", [int, str, dict, list[int], dict[str, Any], Any, object, Money, Optional[int], Literal["a"], list]
)
def test_types_of_json_itself_ask_for_no_conversion(expected: Any) -> None:
    assert converter_for(expected) is None


@pytest.mark.parametrize(
    ("text", "expected", "path", "problem"),
    [
        ('{"item": "tea"}', Line, "price", "price: is missing"),
        ('{"item": 5, "price": "1"}', Line, "item", "item: expected str, got int 5"),
        ('{"item": "x", "price": "1.x"}', Line, "price", "price: expected Decimal, got str '1.x'"),
        ('[{"item": "x", "price": 1, "count": true}]', list[Line], "[0].count", "expected int, got bool True"),
        ('{"k": [5]}', dict[str, list[Line]], "['k'][0]", "expected Line, got int 5"),
        ('"blue"', Color, "", "expected Color, one of 'red', 'green', got 'blue'"),
        ('"today"', datetime, "", "expected datetime, got str 'today'"),
        ("5", UUID, "", "expected UUID, got int 5"),
        ('{"n": -1}', Checked, "", "Checked refuses it: n is negative"),
        ("[1]", tuple[int, Color], "", "expected tuple[int, Color], got list [1]"),
        ("5", Optional[Line], "", "got int 5"),
        ('{"item": "x"}', Optional[Line], "price", "price: is missing"),
        ('{"x": 1}', dict[UUID, int], "['x']", "expected UUID, got str 'x'"),
        ('{"name": "A", "born": "soon"}', Person, "born", "born: "),
        ('{"name": "A", "born": "2000-01-01", "friends": [{}]}', Person, "friends[0].name", "Field required"),
        ('[{"name": "A"}]', list[Person], "[0].born", "Field required"),
        ('{"x": "1", "at": "2024-01-01T00:00:00Z"}', Point, "x", "Expected `int`, got `str`"),
        ('[{"x": 1}]', list[Point], "[0]", "missing required field `at`"),
        ('{"n": 1}', Shape, "at", "at: is missing"),
        ('{"items": ["blue"]}', Page[Color], "items[0]", "expected Color, one of"),
        ('["2024-01-01", "1"]', Span, "length", "length: expected int, got str '1'"),
        ('["2024-01-01"]', Span, "", "expected Span, got list"),
        ('{"yes": 1}', dict[bool, Color], "['yes']", "expected bool, got str 'yes'"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_named_by_its_path(text: str, expected: Any, path: str, problem: str) -> None:
    with pytest.raises(df.PayloadDecodeError) as caught:
        df_loads(text, expected)

    assert caught.value.path == path
    assert problem in str(caught.value)


def test_keys_that_a_class_does_not_know_are_passed_over() -> None:
    # Histories outlive the code that wrote them.
    assert df_loads('{"item": "tea", "price": "2.50", "count": 3, "new": 1}', Line) == LINE


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-03-05T10:00:00.2500000Z", WHEN),
        ("2024-03-05T10:00:00.25Z", WHEN),
        ("2024-03-05T10:00:00.25+0000", WHEN),
        ("2024-03-05T11:00:00.25+01:00", WHEN),
        ("2024-03-05T10:00:00", datetime(2024, 3, 5, 10)),
        ("2024-03-05 10:00", datetime(2024, 3, 5, 10)),
    ],
)
def test_times_are_read_as_anybody_writes_them(text: str, wanted: datetime) -> None:
    assert df_loads(json.dumps(text), datetime) == wanted


@given(
    st.builds(
        Order,
        st.uuids(),
        st.sampled_from(Color),
        st.datetimes(timezones=st.just(timezone.utc)),
        st.lists(st.builds(Line, st.text(), st.decimals(allow_nan=False), st.integers()), max_size=3),
        st.sets(st.text(), max_size=3),
        st.dictionaries(st.integers(), st.none() | st.text(), max_size=3),
        st.none(),
        st.floats(allow_nan=False),
    )
)
@settings(deadline=None)
def test_any_order_comes_back(order: Order) -> None:
    assert df_loads(df_dumps(order), Order) == order


def test_annotations_that_cannot_be_evaluated_are_named() -> None:
    broken = dataclasses.make_dataclass("Broken", [("x", "Nowhere")])

    with pytest.raises(df.PayloadDecodeError, match=r"the annotations of Broken cannot be evaluated: NameError"):
        df_loads('{"x": 1}', broken)


def test_decoding_imports_nothing() -> None:
    script = """
import sys, datetime
from dataclasses import dataclass
from azure.durable_functions._serialization import df_dumps, df_loads
@dataclass
class Order:
    at: datetime.datetime
before = set(sys.modules)
assert df_loads(df_dumps(Order(datetime.datetime(2024, 1, 1))), Order).at.year == 2024
added = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not added & {"pydantic", "msgspec"}, added
try:
    df_loads('{"__class__": "Popen", "__module__": "xml.dom.minidom", "__data__": 1}')
except ValueError as error:
    assert "not loaded" in str(error)
else:
    raise SystemExit("decoded")
assert "xml.dom.minidom" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- in orchestrators --------------------------------------------------------------------------------------------------


def test_inputs_and_results_of_every_kind_of_task() -> None:
    seen: list[Any] = []

    def flow(context: Any) -> Any:
        seen.append(context.get_input(Order))
        seen.append((yield context.call_activity("A", ORDER, expected_type=Line)))
        seen.append((yield context.call_sub_orchestrator("C", [LINE], expected_type=list[Line])))
        seen.append((yield context.call_entity(df.EntityId("E", "k"), "op", WHEN, expected_type=datetime)))
        seen.append((yield context.wait_for_external_event("once", expected_type=Color)))
        seen.append((yield context.wait_for_external_event("twice", expected_type=Line)))
        context.set_custom_status({"at": WHEN})
        return Point(1, WHEN)

    line, when = df_dumps(LINE), df_dumps(WHEN)
    state = run(
        flow,
        event(5, TaskScheduledId=0, Result=line),
        event(8, TaskScheduledId=1, Result=f"[{line}]"),
        event(14, 2, Name="op", InstanceId="@e@k", Input='{"id": "q"}'),
        event(15, Name="q", Input=json.dumps({"result": when})),
        event(15, Name="once", Input='"green"'),
        event(15, Name="twice", Input=json.dumps(line)),
        input=json.loads(df_dumps(ORDER)),
    )

    assert seen == [ORDER, LINE, [LINE], WHEN, Color.GREEN, LINE]
    assert json.loads(state["actions"][0][0]["input"]) == json.loads(df_dumps(ORDER))
    assert state["output"] == {"x": 1, "at": "2024-03-05T10:00:00.250000Z", "names": {}}
    assert state["customStatus"] == {"at": WHEN.isoformat()}


def test_a_result_that_does_not_fit_is_raised_where_it_is_awaited() -> None:
    def flow(context: Any) -> Any:
        try:
            yield context.call_activity("Quote", expected_type=list[Line])
        except df.PayloadDecodeError as error:
            return [error.field, error.path, error.expected, error.text, str(error)]

    text = '[{"item": "tea", "price": null}]'

    assert run(flow, event(5, TaskScheduledId=0, Result=text))["output"] == [
        "result of activity 'Quote' (task 0)",
        "[0].price",
        "Decimal",
        text,
        "The result of activity 'Quote' (task 0) cannot be decoded as list[Line]: "
        "[0].price: expected Decimal, got NoneType None",
    ]


def test_a_retried_call_is_over_when_its_result_does_not_fit() -> None:
    def flow(context: Any) -> Any:
        try:
            yield context.call_activity_with_retry("Quote", df.RetryOptions(1000, 3), expected_type=Line)
        except df.PayloadDecodeError as error:
            return error.path

    assert run(flow, event(5, TaskScheduledId=0, Result='{"item": "x"}'))["output"] == "price"


@pytest.mark.parametrize(
    ("make", "arrived", "field"),
    [
        (
            lambda c: c.call_sub_orchestrator("C"),
            event(8, TaskScheduledId=0, Result="x"),
            "result of sub-orchestration 'C' (task 0)",
        ),
        (lambda c: c.wait_for_external_event("go"), event(15, Name="go", Input="{"), "data of external event 'go'"),
        (lambda c: c.get_input(Line), event(13), "input of the orchestration"),
    ],
)
def test_each_value_is_named(make: Any, arrived: Any, field: str) -> None:
    def flow(context: Any) -> Any:
        yield make(context)

    error = run_failing(flow, arrived, input="[]").__cause__

    assert isinstance(error, df.PayloadDecodeError)
    assert error.field == field
    assert str(error).startswith(f"The {field} cannot be decoded")


def test_the_result_of_an_entity_that_is_no_json_is_named() -> None:
    def flow(context: Any) -> Any:
        yield context.call_entity(df.EntityId("E", "k"), "op")

    answer = event(15, Name="q", Input='{"result": "{"}')
    error = run_failing(flow, event(14, 0, Name="op", InstanceId="@e@k", Input='{"id": "q"}'), answer).__cause__

    assert isinstance(error, df.PayloadDecodeError)
    assert error.field == "result of operation 'op' of entity '@e@k'"


# -- in decorated functions --------------------------------------------------------------------------------------------


def called_by_the_worker(function: Any, value: Any) -> Any:
    """Call an activity as the Functions worker does: converters of azure.functions around it, by keyword."""
    converter = func.get_binding_registry().get("activityTrigger")  # type: ignore[no-untyped-call]
    call = function.get_user_function()
    (name,) = typing.get_type_hints(call).keys() - {"return"} or [next(iter(parameters(call)))]
    decoded = converter.decode(func.meta.Datum(df_dumps(value), "string"), trigger_metadata={})
    return json.loads(converter.encode(call(**{name: decoded}), expected_type=None).value)


def parameters(call: Any) -> list[str]:
    import inspect

    return list(inspect.signature(call).parameters)


@pytest.fixture
def app(caplog: pytest.LogCaptureFixture) -> df.DFApp:
    caplog.set_level("ERROR")  # azure.functions logs at every app without HTTP functions
    return df.DFApp()


def test_annotations_of_an_activity_count(app: df.DFApp) -> None:
    seen: list[Any] = []

    @app.activity_trigger(input_name="lines")
    def total(lines: list[Line]) -> dict[Color, Decimal]:
        seen.extend(lines)
        return {Color.RED: sum((line.price * line.count for line in lines), Decimal())}

    (function,) = app.get_functions()

    assert called_by_the_worker(function, [LINE]) == {"red": "7.50"}
    assert seen == [LINE]
    call = function.get_user_function()
    assert parameters(call) == ["lines"]
    assert typing.get_type_hints(call) == {}  # the worker refuses what is no class
    assert call.activity_function.__name__ == "total"  # type: ignore[attr-defined]


async def test_annotations_of_an_asynchronous_activity_count(app: df.DFApp) -> None:
    @app.activity_trigger(input_name="when")
    async def shift(when: datetime) -> datetime:
        return when + timedelta(hours=1)

    call = app.get_functions()[0].get_user_function()

    assert await call(when=WHEN.isoformat()) == (WHEN + timedelta(hours=1)).isoformat()


@pytest.mark.parametrize("model", [Person, Point, Line])
def test_models_are_given_to_and_taken_from_activities(app: df.DFApp, model: Any) -> None:
    values = {Person: ANNA, Point: Point(1, WHEN), Line: LINE}

    def echo(value: Any) -> Any:
        assert isinstance(value, model)
        return value

    echo.__annotations__ = {"value": model, "return": model}
    app.activity_trigger(input_name="value")(echo)

    assert called_by_the_worker(app.get_functions()[0], values[model]) == json.loads(df_dumps(values[model]))


def test_an_activitys_input_that_does_not_fit_is_named(app: df.DFApp) -> None:
    @app.activity_trigger(input_name="line")
    def price(line: Line) -> str:
        return str(line.price)

    with pytest.raises(
        df.PayloadDecodeError, match="The input of activity 'price' cannot be decoded as Line: price: is missing"
    ):
        app.get_functions()[0].get_user_function()(line={"item": "x"})


@pytest.mark.parametrize("annotation", [int, str, dict, Any, Money, "Nowhere"])
def test_an_activity_that_needs_nothing_is_the_users_function_or_does_as_it_does(
    app: df.DFApp, annotation: Any
) -> None:
    def echo(value: Any) -> Any:
        return value

    echo.__annotations__ = {"value": annotation}
    app.activity_trigger(input_name="value")(echo)
    call = app.get_functions()[0].get_user_function()

    assert (call is echo) == (annotation != "Nowhere")
    assert call(value=[1]) == [1]


def test_an_activity_of_function_json_is_made_as_the_decorator_makes_it() -> None:
    def price(line: Line, context: func.Context) -> Decimal:
        return line.price

    call = df.Activity.create(price)

    assert call(line=json.loads(df_dumps(LINE)), context=None) == str(LINE.price)
    assert parameters(call) == ["line", "context"]
    assert list(typing.get_type_hints(call)) == ["context"]
    assert call.activity_function is price  # type: ignore[attr-defined]
    assert df.Activity.create(call) is call


def test_an_activity_of_function_json_that_needs_nothing_stays_as_it_is() -> None:
    def echo(value: str) -> str:
        return value

    assert df.Activity.create(echo) is echo
    with pytest.raises(TypeError, match="the activity 'nothing' has no parameter for its input"):
        df.Activity.create(lambda_named("nothing"))


def lambda_named(name: str) -> Any:
    def function() -> None: ...

    function.__name__ = name
    return function


def test_a_class_that_is_defined_further_down_is_found_in_time(app: df.DFApp) -> None:
    namespace: dict[str, Any] = {"app": app, "dataclass": dataclass}
    source = """
@app.activity_trigger(input_name="late")
def first(late: "Late") -> "Late":
    return Late(late.n + 1)

@dataclass
class Late:
    n: int
"""
    exec(compile(source, "late.py", "exec", dont_inherit=True), namespace)

    assert app.get_functions()[0].get_user_function()(late={"n": 1}) == {"n": 2}


def test_the_orchestrator_gets_what_a_decorated_function_promises(app: df.DFApp) -> None:
    @app.activity_trigger(input_name="n")
    def lines(n: int) -> list[Line]:
        return [LINE] * n

    @app.orchestration_trigger(context_name="context", input_type=Order)
    def child(context: Any) -> Optional[Line]:
        return context.get_input().lines[0]
        yield

    @app.orchestration_trigger(context_name="context")
    def flow(context: Any) -> Any:
        found = yield context.call_activity(lines, 2)
        one = yield context.call_sub_orchestrator(child, ORDER)
        return [found == [LINE, LINE], one == LINE]

    handles = {f.get_function_name(): f.get_user_function() for f in app.get_functions()}
    line = df_dumps(LINE)
    text = context_text(
        event(5, TaskScheduledId=0, Result=f"[{line}, {line}]"), event(8, TaskScheduledId=1, Result=line)
    )

    assert json.loads(handles["flow"](text))["output"] == [True, True]
    assert json.loads(handles["child"](context_text(input=df_dumps(ORDER))))["output"] == json.loads(line)


def test_both_shells_encode_alike() -> None:
    def flow(context: Any) -> Any:
        return [ORDER, ANNA, Money(WHEN)]

    started = [event(12), event(0, Name="Flow", Input=None)]
    outcome = OrchestrationSession(flow, instance_id="i").advance(started).outcome

    assert isinstance(outcome, Returned)
    assert json.loads(outcome.result or "") == run(flow)["output"]


# -- in entities -------------------------------------------------------------------------------------------------------


class Cart(df.DurableEntity):
    def add(self, line: Line) -> Decimal:
        lines = self.get_state(list[Line], default=[])
        self.set_state([*lines, line])
        return line.price

    def first(self) -> Line | None:
        return next(iter(self.get_state(list[Line], default=[])), None)


def test_annotations_of_an_entitys_methods_count() -> None:
    batch = [
        {"name": "add", "input": json.dumps(df_dumps(LINE)), "isSignal": False},
        {"name": "add", "input": df_dumps(LINE), "isSignal": False},
        {"name": "first", "input": None, "isSignal": False},
        {"name": "add", "input": "5", "isSignal": False},
    ]
    trigger = {"self": {"name": "cart", "key": "k"}, "exists": True, "state": None, "batch": batch}

    answer = json.loads(df.Entity.create(Cart)(json.dumps(trigger)))

    line = json.loads(df_dumps(LINE))
    assert json.loads(answer["entityState"]) == [line, line]
    assert [json.loads(each["result"]) for each in answer["results"]] == [
        "2.50",
        "2.50",
        line,
        "The input of operation 'add' of entity '@cart@k' cannot be decoded as Line: expected Line, got int 5",
    ]
    assert [each["isError"] for each in answer["results"]] == [False, False, False, True]


def test_an_entity_function_says_what_it_expects() -> None:
    seen: list[Any] = []

    def entity(context: df.DurableEntityContext) -> None:
        seen.append(context.get_input(datetime))
        seen.append(context.get_state(expected_type=Color))

    trigger = {
        "self": {"name": "e", "key": "k"},
        "exists": True,
        "state": '"red"',
        "batch": [
            {"name": "op", "input": text, "isSignal": True} for text in (df_dumps(WHEN), json.dumps(df_dumps(WHEN)))
        ],
    }
    json.loads(df.Entity.create(entity)(json.dumps(trigger)))

    assert seen == [WHEN, Color.RED, WHEN, Color.RED]
