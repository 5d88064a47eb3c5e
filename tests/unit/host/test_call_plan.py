import azure.functions as func
import pytest

from taskhub.host.bindings import BindingError, read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.functions import Function

HTTP = [{"name": "req", "type": "httpTrigger"}, {"name": "$return", "type": "http", "direction": "out"}]
ACTIVITY = [{"name": "value", "type": "activityTrigger"}]


def plan(call, bindings=HTTP):
    return plan_call(Function("f", call, read_bindings(bindings), None))


def test_bindings_and_parameters_meet_by_name():
    def f(req: func.HttpRequest, message, context: func.Context): ...

    made = plan(f, [*HTTP, {"name": "message", "type": "http", "direction": "out"}])

    assert (list(made.inputs), list(made.outputs), made.wants_context) == (["req"], ["message"], True)
    assert made.result.binding.type == "http"
    assert not made.is_async


def test_a_trigger_called_context_is_the_payload_and_not_the_invocation_s():
    def f(context): ...

    made = plan(f, [{"name": "context", "type": "orchestrationTrigger"}])

    assert (list(made.inputs), made.wants_context) == (["context"], False)
    assert made.result.binding.type == "orchestrationTrigger"


async def f_async(req): ...


def test_coroutine_functions_are_told_by_inspection():
    assert plan(f_async).is_async


@pytest.mark.parametrize(
    ("call", "bindings", "reason"),
    [
        (lambda req, extra: None, HTTP, "cannot load the f function: parameters without a binding: extra."),
        (lambda: None, HTTP, "bindings without a parameter: req."),
        (lambda *args: None, HTTP, "parameters without a binding: args; bindings without a parameter: req."),
        (
            lambda req: None,
            [*HTTP, {"name": "q", "type": "serviceBus", "direction": "out"}],
            "type 'serviceBus' is not supported",
        ),
        (lambda req: None, [{**HTTP[0], "direction": "inout"}], "direction inout"),
        (lambda t: None, [{"name": "t", "type": "kafkaTrigger"}], "type 'kafkaTrigger' is not supported by this host"),
        (lambda req: None, [*HTTP, {"name": "q", "type": "queue"}], "type 'queue' must have the direction out"),
        (lambda b: None, [{"name": "b", "type": "blobTrigger", "direction": "out"}], "must have the direction in"),
    ],
)
def test_what_does_not_fit_is_said(call, bindings, reason):
    with pytest.raises(BindingError) as caught:
        plan(call, bindings)

    assert reason in str(caught.value)


def test_an_out_annotation_and_its_direction_must_agree():
    def wrong_in(req: func.Out[str]): ...
    def wrong_out(req, message: str): ...
    def right(req, message: func.Out[func.HttpResponse]): ...

    out = [*HTTP, {"name": "message", "type": "http", "direction": "out"}]
    with pytest.raises(BindingError, match="has the direction in, but"):
        plan(wrong_in)
    with pytest.raises(BindingError, match=r"must be a func.Out"):
        plan(wrong_out, out)
    assert list(plan(right, out).outputs) == ["message"]


def test_annotations_that_cannot_be_evaluated_fail_the_function():
    def f(req: "Nowhere"): ...  # noqa: F821

    with pytest.raises(BindingError, match="annotations cannot be evaluated: NameError"):
        plan(f)


def test_a_client_annotated_as_text_gets_the_text():
    from azure.functions.meta import Datum

    def f(req, starter: str): ...

    made = plan(f, [*HTTP, {"name": "starter", "type": "durableClient"}])

    assert made.inputs["starter"].decode(Datum("{}", "string"), {}) == "{}"


@pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")
def test_an_activity_s_input_is_decoded_whatever_its_annotation():
    from azure.functions.meta import Datum

    def f(value: str): ...

    assert plan(f, ACTIVITY).inputs["value"].decode(Datum('"Tokyo"', "string"), {}) == "Tokyo"
