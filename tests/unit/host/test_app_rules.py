"""Rules of apps that only show when functions run: loaded from their files, called by the invoker."""

import asyncio
import io
import json
import sys

import pytest
from azure.functions.meta import Datum

from taskhub.host.app_loader import enter_app
from taskhub.host.configuration import load_configuration
from taskhub.host.console import Console, captured_output
from taskhub.host.invoker import InvocationFailed, Invoker
from taskhub.host.loading import load_functions

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")


class App:
    """A folder of an app, and what is loaded of it."""

    def __init__(self, writer):
        self.writer = writer
        self.output = io.StringIO()
        self.console = Console(self.output)

    def load(self, **environment):
        configuration = load_configuration(self.writer.root, environment)
        enter_app(self.writer.root)
        loaded = load_functions(configuration, self.console)
        self.plans = {plan.function.name: plan for plan in loaded.plans}
        self.errors = loaded.errors
        return self

    async def run(self, name, text="null"):
        plan = self.plans[name]
        invoker = Invoker(self.console)
        try:
            with captured_output(self.console, debug=False):
                outcome = await invoker.invoke(plan, {plan.function.trigger.name: Datum(text, "string")}, reason="test")
        finally:
            await invoker.aclose(grace_seconds=1)
        return None if outcome.result is None else json.loads(outcome.result.value)


@pytest.fixture
def rules(app):
    return App(app)


def folder(rules, name, script, *, bindings=None, **more):
    bindings = bindings or [{"name": "value", "type": "activityTrigger"}]
    rules.writer.write(f"{name}/function.json", json.dumps({"bindings": bindings, **more}))
    rules.writer.write(f"{name}/__init__.py", script)
    return rules


async def test_relative_absolute_and_namespace_imports_give_the_modules_that_they_give_in_the_original(rules):
    rules.writer.write("shared/tools.py", "class Tool: ...\n")
    folder(
        rules,
        "Imports",
        """
        from ..shared.tools import Tool as relative
        from __app__.shared.tools import Tool as absolute
        from shared.tools import Tool as plain

        def main(value):
            return [relative is absolute, relative is plain, relative.__module__, plain.__module__, __name__]
        """,
    )

    result = await rules.load().run("Imports")

    assert result == [True, False, "__app__.shared.tools", "shared.tools", "__app__.Imports"]


async def test_the_entry_point_of_a_script_above_the_folder_is_called(rules):
    rules.writer.write("handlers/orders.py", "def place(value):\n    return [__name__, value]\n")
    rules.writer.write(
        "PlaceOrder/function.json",
        json.dumps(
            {
                "ScriptFile": "../handlers/orders.py",
                "EntryPoint": "place",
                "Bindings": [{"Name": "value", "Type": "activityTrigger", "Direction": "IN"}],
            }
        ),
    )

    assert await rules.load().run("PlaceOrder", '"x"') == ["__app__.handlers.orders", "x"]


async def test_a_folder_whose_name_is_no_identifier_is_imported_too(rules):
    folder(rules, "my-func", "def main(value):\n    return __name__\n")

    assert await rules.load().run("my-func") == "__app__.my-func"


async def test_plain_functions_run_in_threads_and_coroutines_on_a_loop_of_their_own(rules):
    folder(rules, "Plain", "import threading\n\ndef main(value):\n    return threading.current_thread().name\n")
    folder(rules, "Async", "import threading\n\nasync def main(value):\n    return threading.current_thread().name\n")
    rules.load()

    assert (await rules.run("Plain")).startswith("function")
    assert await rules.run("Async") == "coroutine functions"


async def test_the_context_tells_function_folder_and_invocation_and_threads_find_their_log(rules):
    folder(
        rules,
        "Context",
        """
        import logging, threading

        def main(value, context):
            def work():
                context.thread_local_storage.invocation_id = context.invocation_id
                logging.info("from a thread")

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            retry, trace = context.retry_context, context.trace_context
            return [
                context.function_name, context.function_directory, len(context.invocation_id), retry.retry_count,
                trace.trace_parent, trace.Traceparent, trace.attributes,
            ]
        """,
    )

    name, directory, length, *rest = await rules.load().run("Context")

    assert (name, length) == ("Context", 36)
    assert directory == str(rules.writer.root / "Context")
    assert rest == [0, "", "", {}]
    assert "from a thread" in rules.output.getvalue()


async def test_what_is_printed_without_the_end_of_its_line_is_shown_when_the_function_ends(rules):
    folder(rules, "Prints", "def main(value):\n    print('half a line', end='')\n")

    await rules.load().run("Prints")

    lines = rules.output.getvalue().splitlines()
    assert any("half a line" in line for line in lines[:-1])
    assert "Executed" in lines[-1]


async def test_a_plain_function_that_returns_a_coroutine_fails_as_in_the_original(rules):
    folder(
        rules,
        "Forgot",
        "async def work():\n    ...\n\ndef main(value):\n    kept.append(work())\n    return kept[-1]\n\nkept = []\n",
    )
    rules.load()

    with pytest.raises(InvocationFailed, match="coroutine"):
        await rules.run("Forgot")
    sys.modules["__app__.Forgot"].kept[0].close()


async def test_a_value_without_a_place_to_go_is_dropped_with_a_warning(rules):
    folder(
        rules,
        "Timer",
        "def main(timer):\n    return 'dropped'\n",
        bindings=[{"name": "timer", "type": "timerTrigger", "schedule": "0 0 0 * * *"}],
    )
    rules.load()
    invoker = Invoker(rules.console)

    with captured_output(rules.console, debug=False):
        outcome = await invoker.invoke(rules.plans["Timer"], {"timer": Datum("{}", "json")}, reason="test")
    await invoker.aclose(grace_seconds=1)

    assert outcome.result is None
    assert "returned a value, which is dropped" in rules.output.getvalue()


async def test_annotations_as_texts_are_evaluated_in_their_module(rules):
    folder(
        rules,
        "Later",
        """
        from __future__ import annotations

        import azure.functions as func

        def main(value: Kind, context: func.Context) -> str:
            return type(value).__name__

        Kind = dict
        """,
    )

    assert await rules.load().run("Later", '{"a": 1}') == "dict"


def test_names_that_differ_by_case_only_are_one_too_many(rules):
    folder(rules, "Same", "def main(value): ...\n")
    if (rules.writer.root / "SAME").exists():
        pytest.skip("this file system ignores case")
    folder(rules, "SAME", "def main(value): ...\n")

    rules.load()

    assert list(rules.plans) == ["SAME"]
    assert rules.errors == [
        "The 'Same' function is in error: The function name 'Same' must be unique within the app, ignoring case."
    ]


def test_every_bad_function_is_named_and_the_others_are_there(rules):
    trigger = {"name": "value", "type": "activityTrigger"}
    folder(rules, "Good", "def main(value): ...\n")
    folder(rules, "NoModule", "import nowhere_to_be_found\n\ndef main(value): ...\n")
    folder(rules, "NoBindings", "def main(value): ...\n", bindings=[{}])
    folder(rules, "TwoTriggers", "def main(value, other): ...\n", bindings=[trigger, {**trigger, "name": "other"}])
    folder(rules, "NoMain", "def mein(value): ...\n")
    folder(rules, "Extra", "def main(value, more): ...\n")
    folder(rules, "Away", "def main(value): ...\n", bindings=[{"name": "value", "type": "eventHubTrigger"}])
    folder(
        rules,
        "BadTimer",
        "def main(value): ...\n",
        bindings=[{"name": "value", "type": "timerTrigger", "schedule": "x"}],
    )
    folder(rules, "BadRetry", "def main(value): ...\n", retry={"strategy": "now and then"})

    rules.load()

    reasons = {error.split("'")[1]: error for error in rules.errors}
    assert list(rules.plans) == ["Good"]
    for name, reason in {
        "NoModule": "nowhere_to_be_found",
        "NoBindings": "has no type",
        "TwoTriggers": "More than one trigger",
        "NoMain": "has no function 'main'",
        "Extra": "parameters without a binding: more",
        "Away": "binding type 'eventHubTrigger' is not supported by this host",
        "BadTimer": "not recognized as a valid cron expression",
        "BadRetry": "it must be fixedDelay or exponentialBackoff",
    }.items():
        assert reason in reasons[name]
        assert f"The '{name}' function is in error: " in rules.output.getvalue()


async def test_blueprints_aliases_and_generic_triggers_of_a_decorated_app(rules):
    rules.writer.write(
        "parts.py",
        """
        import azure.functions as func

        bp = func.Blueprint()

        @bp.generic_trigger(arg_name="value", type="activityTrigger", activity="Gen")
        def generic(value):
            return ["generic", value]
        """,
    )
    rules.writer.write(
        "function_app.py",
        """
        import azure.durable_functions as df
        import azure.functions as func
        from parts import bp

        my_app = df.DFApp()
        alias = my_app
        my_app.register_functions(bp)

        @my_app.function_name("Named")
        @my_app.activity_trigger(input_name="value")
        def python_name(value):
            return ["named", value]

        @my_app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:01")
        @my_app.timer_trigger(arg_name="timer", schedule="%WHEN%")
        def tick(timer: func.TimerRequest):
            ...
        """,
    )

    rules.load(WHEN="0 */5 * * * *")

    assert rules.errors == []
    assert sorted(rules.plans) == ["Named", "generic", "tick"]
    assert rules.plans["generic"].function.called_as == "Gen"
    assert rules.plans["tick"].function.retry.max_count == 2
    assert rules.plans["tick"].function.trigger.properties["schedule"] == "0 */5 * * * *"
    assert await rules.run("generic", "1") == ["generic", 1]
    assert await rules.run("Named", "2") == ["named", 2]


async def test_converters_are_those_of_the_app_s_registry_when_it_was_loaded(rules, monkeypatch):
    import azure.functions as func

    registry = func.get_binding_registry()
    original = registry.get("activityTrigger")

    class Shouting:
        encode = original.encode

        @classmethod
        def decode(cls, data, *, trigger_metadata):
            return str(original.decode(data, trigger_metadata=trigger_metadata)).upper()

    monkeypatch.setitem(registry._bindings, "activityTrigger", Shouting)
    folder(rules, "Echo", "def main(value):\n    return value\n")

    assert await rules.load().run("Echo", '"hello"') == "HELLO"


EXTENSION = """
    import azure.functions as func

    seen = []

    class Watch(func.AppExtensionBase):
        @classmethod
        def post_function_load_app_level(cls, function_name, function_directory, *args, **kwargs):
            seen.append(("loaded", function_name))

        @classmethod
        def pre_invocation_app_level(cls, logger, context, func_args, *args, **kwargs):
            seen.append(("before", context.function_name, dict(func_args)))

        @classmethod
        def post_invocation_app_level(cls, logger, context, func_args, func_ret, *args, **kwargs):
            seen.append(("after", func_ret))
            raise RuntimeError("extensions harm nobody")
    """


@pytest.fixture
def clean_extensions(monkeypatch):
    import azure.functions as func

    monkeypatch.setattr(func.ExtensionMeta, "_app_exts", None)
    monkeypatch.setattr(func.ExtensionMeta, "_func_exts", {})
    monkeypatch.setattr(func.ExtensionMeta, "_info", {})


@pytest.mark.usefixtures("clean_extensions")
@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_worker_extensions_run_around_every_function(rules, kind):
    rules.writer.write("watch.py", EXTENSION)
    folder(rules, "Watched", f"from __app__.watch import seen\n\n{kind} main(value):\n    return value + 1\n")

    result = await rules.load().run("Watched", "1")

    assert result == 2
    assert sys.modules["__app__.watch"].seen == [
        ("loaded", "Watched"),
        ("before", "Watched", {"value": 1}),
        ("after", 2),
    ]


@pytest.mark.usefixtures("clean_extensions")
async def test_worker_extensions_of_one_function_run_around_that_one(rules, monkeypatch):
    monkeypatch.setenv("AzureWebJobsScriptRoot", str(rules.writer.root))
    rules.writer.write(
        "timing.py",
        """
        import azure.functions as func

        seen = []

        class Timing(func.FuncExtensionBase):
            def __init__(self, file_path):
                super().__init__(file_path)

            def pre_invocation(self, logger, context, func_args, *args, **kwargs):
                seen.append(context.function_name)
        """,
    )
    folder(rules, "Timed", "from __app__.timing import Timing\n\nTiming(__file__)\n\ndef main(value):\n    return 1\n")
    folder(rules, "Other", "def main(value):\n    return 2\n")
    rules.load()

    await rules.run("Other")
    await rules.run("Timed")

    assert sys.modules["__app__.timing"].seen == ["Timed"]


@pytest.mark.usefixtures("clean_extensions")
async def test_worker_extensions_can_be_turned_off(rules):
    rules.writer.write("watch.py", EXTENSION)
    folder(rules, "Watched", "from __app__.watch import seen\n\ndef main(value):\n    return 1\n")

    await rules.load(PYTHON_ENABLE_WORKER_EXTENSIONS="0").run("Watched")

    assert sys.modules["__app__.watch"].seen == []


async def test_functions_of_one_app_share_the_process(rules):
    rules.writer.write("counter.py", "count = 0\n")
    for name in ("One", "Two"):
        folder(
            rules,
            name,
            "from .. import counter\n\ndef main(value):\n    counter.count += 1\n    return counter.count\n",
        )
    rules.load()

    assert [await rules.run("One"), await rules.run("Two")] == [1, 2]
    await asyncio.sleep(0)
