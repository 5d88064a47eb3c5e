"""Apps with decorators, indexed and called as the Functions worker does it."""

import inspect
import json
import threading
import typing
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest

BINDING = json.dumps(
    {
        "taskHubName": "Hub",
        "creationUrls": {},
        "managementUrls": {"id": "INSTANCEID", "statusQueryGetUri": "http://h/instances/INSTANCEID"},
        "rpcBaseUrl": "http://127.0.0.1:1/durabletask/",
    }
)
ENTITY_BATCH = json.dumps(
    {
        "self": {"name": "e", "key": "k"},
        "exists": False,
        "state": None,
        "batch": [{"name": "op", "input": None, "isSignal": True}],
    }
)
ORCHESTRATION = json.dumps(
    {
        "history": [
            {"EventType": 12, "EventId": -1, "IsPlayed": False, "Timestamp": "2024-03-05T10:00:00Z"},
            {
                "EventType": 0,
                "EventId": -1,
                "IsPlayed": False,
                "Timestamp": "2024-03-05T10:00:00Z",
                "Name": "flow",
                "Version": "",
                "Input": '"in"',
            },
        ],
        "input": '"in"',
        "instanceId": "i",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
    }
)


class FakeInvocation:
    invocation_id = "inv-1"


def a_request() -> func.HttpRequest:
    return func.HttpRequest("GET", "http://app/api/x", body=b"")


def only_function(app: df.DFApp) -> func.decorators.function_app.Function:
    (function,) = app.get_functions()
    return function


@pytest.fixture
def app():
    return df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level("ERROR")  # azure.functions logs at every app without HTTP functions


# Bindings


def test_bindings_of_every_durable_decorator(app):
    @app.orchestration_trigger(context_name="context", orchestration="Flow")
    def flow(context): ...

    @app.activity_trigger(input_name="city")
    def hello(city): ...

    @app.entity_trigger(context_name="context", entity_name="Counter")
    def counter(context): ...

    @app.route(route="start")
    @app.durable_client_input(client_name="client", task_hub="Hub", connection_name="Storage")
    async def start(req, client): ...

    texts = [str(function) for function in app.get_functions()]

    assert [json.loads(text)["bindings"] for text in texts[:3]] == [
        [{"direction": "IN", "type": "orchestrationTrigger", "name": "context", "orchestration": "Flow"}],
        [{"direction": "IN", "type": "activityTrigger", "name": "city"}],
        [{"direction": "IN", "type": "entityTrigger", "name": "context", "entityName": "Counter"}],
    ]
    assert json.loads(texts[3])["bindings"][0] == {
        "direction": "IN",
        "type": "durableClient",
        "name": "client",
        "taskHub": "Hub",
        "connectionName": "Storage",
    }


def test_order_of_keys_is_the_references(app):
    @app.orchestration_trigger(context_name="context", orchestration="Flow")
    def flow(context): ...

    assert str(only_function(app)) == (
        '{"scriptFile": "function_app.py", "bindings": [{"direction": "IN", "type": "orchestrationTrigger", '
        '"name": "context", "orchestration": "Flow"}]}'
    )


def test_functions_of_a_blueprint_join_the_app(app):
    blueprint = df.Blueprint()

    @blueprint.activity_trigger(input_name="city")
    def hello(city): ...

    app.register_functions(blueprint)

    assert only_function(app).get_function_name() == "hello"
    assert not hasattr(blueprint, "get_functions")
    assert isinstance(app, func.FunctionRegister)


def test_app_of_azure_functions_reaches_the_decorators():
    app = func.FunctionApp()

    @app.activity_trigger(input_name="city")
    def hello(city): ...

    @app.orchestration_trigger(context_name="context")
    def flow(context):
        return (yield context.call_activity(hello, "Oslo"))

    handle = app.get_functions()[1].get_user_function()

    assert json.loads(handle(ORCHESTRATION))["actions"][0][0]["functionName"] == "hello"


def test_function_name_can_be_set_on_either_side_of_a_trigger(app):
    @app.function_name("Above")
    @app.activity_trigger(input_name="value")
    def one(value): ...

    @app.activity_trigger(input_name="value")
    @app.function_name("Below")
    def two(value): ...

    assert [function.get_function_name() for function in app.get_functions()] == ["Above", "Below"]


def test_authorization_level_may_be_text():
    assert df.DFApp("ANONYMOUS").auth_level is func.AuthLevel.ANONYMOUS
    assert df.DFApp().auth_level is func.AuthLevel.FUNCTION


# Orchestrators and entities


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", ["context", "ctx", "my_context"])
def test_orchestrators_parameter_has_the_name_of_the_binding(app, name):
    @app.orchestration_trigger(context_name=name)
    def flow(anything):
        """What it does."""
        return anything.get_input()
        yield

    handle = only_function(app).get_user_function()

    assert parameters(handle) == [name]
    assert typing.get_type_hints(handle) == {name: func.OrchestrationContext, "return": str}
    assert json.loads(handle(ORCHESTRATION))["output"] == "in"
    assert json.loads(handle(**{name: func.OrchestrationContext(ORCHESTRATION)}))["output"] == "in"
    assert (handle.__name__, handle.__doc__) == ("flow", "What it does.")
    assert handle.orchestrator_function.__name__ == "flow"  # type: ignore[attr-defined]


def test_entitys_parameter_has_the_name_of_the_binding(app):
    @app.entity_trigger(context_name="ctx")
    def counter(anything):
        anything.set_state(1)

    handle = only_function(app).get_user_function()

    assert parameters(handle) == ["ctx"]
    assert typing.get_type_hints(handle) == {"return": str}
    assert json.loads(handle(ctx=func.EntityContext(ENTITY_BATCH)))["entityState"] == "1"
    assert handle.entity_function.__name__ == "counter"  # type: ignore[attr-defined]


def test_entity_class_can_be_decorated(app):
    @app.entity_trigger(context_name="context")
    class Counter(df.DurableEntity):
        def op(self):
            self.set_state(3)

    function = only_function(app)

    assert function.get_function_name() == "Counter"
    assert json.loads(function.get_user_function()(ENTITY_BATCH))["entityState"] == "3"


def test_wrong_keyword_is_a_type_error_as_for_any_function(app):
    @app.orchestration_trigger(context_name="ctx")
    def flow(ctx): ...

    with pytest.raises(TypeError, match="missing a required argument: 'ctx'"):
        only_function(app).get_user_function()(context=ORCHESTRATION)


@pytest.mark.skipif(not hasattr(func._durable_functions, "df_loads"), reason="azure.functions < 1.26 checks no types")
def test_input_type_is_what_get_input_expects(app, caplog):
    @app.orchestration_trigger(context_name="ctx", input_type=dict)
    def flow(ctx):
        return ctx.get_input()

    handle = only_function(app).get_user_function()
    caplog.set_level("WARNING")
    handle(ORCHESTRATION)

    assert "not compatible with expected type <class 'dict'>" in caplog.text


def test_activity_is_the_users_function(app):
    def hello(city): ...

    app.activity_trigger(input_name="city")(hello)

    assert only_function(app).get_user_function() is hello


# Clients


async def test_asynchronous_function_gets_the_client_and_the_id_of_its_invocation(app):
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient, context: func.Context):
        return client

    call = only_function(app).get_user_function()
    client = await call(req=a_request(), client=BINDING, context=FakeInvocation())

    assert inspect.iscoroutinefunction(call)
    assert isinstance(client, df.DurableOrchestrationClient)
    assert client._function_invocation_id == "inv-1"
    assert client._orchestration_bindings.task_hub_name == "Hub"


def test_clients_parameter_is_annotated_as_what_the_worker_hands_over(app):
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse: ...

    call = only_function(app).get_user_function()

    assert typing.get_type_hints(call) == {"req": func.HttpRequest, "client": str, "return": func.HttpResponse}
    assert parameters(call) == ["req", "client"]
    assert call.client_function.__name__ == "start"  # type: ignore[attr-defined]


@pytest.mark.parametrize("client_first", [True, False])
async def test_order_of_route_and_client_is_free(app, client_first):
    async def start(req, client):
        return client.create_check_status_response(req, "a b")

    decorators = [app.durable_client_input(client_name="client"), app.route(route="start")]
    for decorate in decorators if client_first else reversed(decorators):
        start = decorate(start)

    response = await only_function(app).get_user_function()(req=a_request(), client=BINDING)

    assert response.status_code == 202
    assert response.headers["Location"] == "http://app/instances/a%20b"


def test_plain_function_stays_plain_and_gets_the_blocking_client(app):
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    def start(req, client):
        return client.create_check_status_response(req, "i"), client

    call = only_function(app).get_user_function()
    response, client = call(req=a_request(), client=BINDING)

    assert not inspect.iscoroutinefunction(call)
    assert response.status_code == 202
    assert type(client) is df.SyncDurableFunctionsClient


async def test_plain_function_gets_the_asynchronous_client_that_it_asks_for(app):
    async def later(client):
        return type(client)

    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    def start(req, client: df.DurableOrchestrationClient):
        return later(client)

    call = only_function(app).get_user_function()

    assert issubclass(await call(req=a_request(), client=BINDING), df.DurableOrchestrationClient)


def test_annotation_as_text_chooses_the_client_too(app):
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    def start(req, client: "df.SyncDurableFunctionsClient"):
        return type(client)

    assert only_function(app).get_user_function()(req=a_request(), client=BINDING) is df.SyncDurableFunctionsClient


async def test_decorated_asynchronous_function_is_recognised(app):
    import functools

    def logged(function):
        @functools.wraps(function)
        def call(*arguments, **keywords):
            return function(*arguments, **keywords)

        return call

    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    @logged
    async def start(req, client):
        return type(client)

    found = await only_function(app).get_user_function()(req=a_request(), client=BINDING)

    assert issubclass(found, df.DurableOrchestrationClient)


def test_coroutine_of_a_plain_function_is_run_in_the_workers_thread(app):
    async def later():
        return threading.current_thread().name

    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    def start(req, client):
        return later()

    call = only_function(app).get_user_function()

    assert call(req=a_request(), client=BINDING) == threading.current_thread().name


async def test_binding_that_the_worker_did_not_hand_over_is_named(app):
    @app.route(route="start")
    @app.durable_client_input(client_name="client")
    async def start(req, client): ...

    with pytest.raises(KeyError, match="client"):
        await only_function(app).get_user_function()(req=a_request())


# Clients by annotation


@pytest.mark.parametrize(
    "annotation",
    [
        df.DurableOrchestrationClient,
        df.DurableFunctionsClient,
        "df.DurableOrchestrationClient",
        "DurableFunctionsClient",
    ],
)
async def test_annotated_parameter_without_a_binding_gets_a_client(app, annotation):
    async def start(req: func.HttpRequest, anything):
        return anything

    start.__annotations__["anything"] = annotation
    app.route(route="start")(start)

    function = only_function(app)
    bindings = json.loads(str(function))["bindings"]
    client = await function.get_user_function()(req=a_request(), anything=BINDING)

    assert [each for each in bindings if each["type"] == "durableClient"] == [
        {"direction": "IN", "type": "durableClient", "name": "anything"}
    ]
    assert typing.get_type_hints(function.get_user_function())["anything"] is str
    assert isinstance(client, df.DurableOrchestrationClient)


def test_annotated_parameter_of_a_blueprints_plain_function_gets_the_blocking_client(app):
    blueprint = df.Blueprint()

    @blueprint.timer_trigger(arg_name="timer", schedule="0 0 * * * *")
    def clean(timer: func.TimerRequest, client: df.SyncDurableFunctionsClient) -> None:
        assert type(client) is df.SyncDurableFunctionsClient

    app.register_functions(blueprint)

    only_function(app).get_user_function()(timer=None, client=BINDING)


def test_parameter_that_has_a_binding_gets_no_second_one(app):
    @app.route(route="start")
    @app.durable_client_input(client_name="client", task_hub="Hub")
    async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient): ...

    bindings = json.loads(str(only_function(app)))["bindings"]

    assert [each.get("taskHub") for each in bindings if each["type"] == "durableClient"] == ["Hub"]


def test_name_of_the_client_may_be_left_to_the_annotation(app):
    @app.route(route="start")
    @app.durable_client_input(task_hub="Hub")
    async def start(req: func.HttpRequest, starter: df.DurableOrchestrationClient): ...

    bindings = json.loads(str(only_function(app)))["bindings"]

    assert {"direction": "IN", "type": "durableClient", "name": "starter", "taskHub": "Hub"} in bindings


@pytest.mark.parametrize(
    ("annotations", "found"),
    [({}, "none is"), ({"a": df.DurableOrchestrationClient, "b": df.DurableFunctionsClient}, "a and b are")],
)
def test_client_without_a_name_or_one_annotation_is_refused(app, annotations, found):
    async def start(a, b): ...

    start.__annotations__ = annotations

    with pytest.raises(ValueError, match=rf"'start' needs a client_name, or one parameter annotated .*; {found}"):
        app.durable_client_input()(start)


# function.json


def test_handles_of_function_json_apps_have_the_parameter_context():
    def flow(context):
        return context.get_input()

    orchestrator = df.Orchestrator.create(flow)
    entity = df.Entity.create(lambda context: context.set_state(2))

    assert parameters(orchestrator) == parameters(entity) == ["context"]
    assert typing.get_type_hints(orchestrator) == {"context": func.OrchestrationContext, "return": str}
    assert json.loads(orchestrator(func.OrchestrationContext(ORCHESTRATION)))["output"] == "in"
    assert json.loads(entity(func.EntityContext(ENTITY_BATCH)))["entityState"] == "2"
    assert orchestrator.orchestrator_function is flow  # type: ignore[attr-defined]
