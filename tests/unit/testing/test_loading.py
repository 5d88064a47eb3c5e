"""Apps out of folders, in the simulated world of tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from azure.durable_functions.testing import DurableWorld, DurableWorldError

ROOT = Path(__file__).parents[3]

V1_MAIN = """
import azure.durable_functions as df

def flow(context):
    return (yield context.call_activity("Hello", context.get_input()))

main = df.Orchestrator.create(flow)
"""
V2 = """
import os
from pathlib import Path
import azure.durable_functions as df
from helper import GREETING

app = df.DFApp()

@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("hello", context.get_input()))

@app.activity_trigger(input_name="name")
def hello(name: str) -> str:
    import late  # when it runs, as many do
    return f"{GREETING} {name} {late.SIGN} {os.environ['MOOD']} {Path('file.txt').read_text()}"
"""


def make_v2(root, greeting):
    root.mkdir()
    (root / "function_app.py").write_text(V2)
    (root / "helper.py").write_text(f"GREETING = {greeting!r}\n")
    (root / "late.py").write_text(f"SIGN = {greeting[0]!r}\n")
    (root / "file.txt").write_text("read")
    (root / "local.settings.json").write_text('{"Values": {"MOOD": "fine"}}')
    return root


@pytest.fixture(autouse=True)
def no_module_stays():
    before = dict(sys.modules)
    yield
    for name in ("function_app", "helper", "late", "__app__"):
        sys.modules.pop(name, None)
        if name in before:
            sys.modules[name] = before[name]


def test_an_app_of_folders_runs(durable_world, tmp_path):
    (tmp_path / "Flow").mkdir()
    (tmp_path / "Flow" / "__init__.py").write_text(V1_MAIN)
    (tmp_path / "Flow" / "function.json").write_text(
        '{"bindings": [{"name": "context", "type": "orchestrationTrigger", "direction": "in"}]}'
    )
    (tmp_path / "Hello").mkdir()
    (tmp_path / "Hello" / "__init__.py").write_text("def main(name: str) -> str:\n    return f'hello {name}'\n")
    (tmp_path / "Hello" / "function.json").write_text(
        '{"bindings": [{"name": "name", "type": "activityTrigger", "direction": "in"}]}'
    )

    durable_world.load(tmp_path)

    assert durable_world.start("Flow", "Ada").completed == "hello Ada"


def test_two_apps_with_modules_of_the_same_names_do_not_mix(tmp_path):
    one, two = make_v2(tmp_path / "one", "ONE"), make_v2(tmp_path / "two", "TWO")
    seen = []
    for root in (one, two, one):
        with DurableWorld() as world:
            seen.append(world.load(root).start("flow", "x").completed)

    assert seen == ["ONE x O fine read", "TWO x T fine read", "ONE x O fine read"]


COUNTED = """
import azure.durable_functions as df

class Counted(df.DFApp):
    asked = 0

    def get_functions(self):
        Counted.asked += 1
        return super().get_functions()

app = Counted()

@app.orchestration_trigger(context_name="context")
def flow(context):
    return Counted.asked
    yield
"""


def test_an_app_gives_out_its_functions_once_however_often_it_is_loaded(tmp_path):
    (tmp_path / "function_app.py").write_text(COUNTED)
    names: dict = {}
    exec(COUNTED, names)
    of_folder, of_object = [], []
    for _ in range(2):
        with DurableWorld() as world:
            of_folder.append(world.load(tmp_path).start("flow").completed)
        with DurableWorld() as world:
            of_object.append(world.app(names["app"]).start("flow").completed)

    assert (of_folder, of_object) == ([1, 1], [1, 1])


def test_everything_is_as_before_when_the_world_ends(tmp_path):
    make_v2(tmp_path / "app", "ONE")
    before = os.getcwd(), list(sys.path), dict(os.environ)

    with DurableWorld() as world:
        world.load(tmp_path / "app")
        assert Path.cwd() == tmp_path / "app"

    assert (os.getcwd(), list(sys.path), dict(os.environ)) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is not a folder"),
        ("", "Could not find top level function app instances"),
        ("import nowhere", "No module named 'nowhere'"),
        ("import azure.durable_functions as df\napp = df.DFApp()", "has no functions that can run"),
    ],
)
def test_an_app_that_cannot_be_loaded_says_why(durable_world, tmp_path, text, message):
    root = tmp_path / "app"
    if text is not None:
        root.mkdir()
        (root / "function_app.py").write_text(text)

    with pytest.raises(DurableWorldError) as caught:
        durable_world.load(root)

    assert message in str(caught.value)
    assert Path.cwd() != root


def test_neither_the_sdk_nor_the_plugin_loads_the_task_hub_before_a_test_asks_for_a_world():
    code = (
        "import sys, azure.durable_functions, azure.durable_functions.testing, azure.durable_functions.testing.plugin;"
        "azure.durable_functions.testing.orchestrator_generator_wrapper;"
        "print([name for name in sys.modules if name.split('.')[0] in ('taskhub', 'aiohttp', 'typer')"
        " or name.startswith(('azure.storage', 'azure.data', 'azure.core'))])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == "[]"
