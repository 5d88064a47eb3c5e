"""The sample app, indexed as the Functions worker does it, on our SDK and, where it is set up, on the official one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.reference import environment

ROOT = Path(__file__).parents[3]
PATTERNS = {"approval", "chaining", "compensation", "counter", "fan_out", "monitor", "provisioning"}
INDEX = """
import importlib, json, sys
import azure.functions
sys.path.append(".")
module = importlib.import_module("function_app")
(app,) = (value for value in vars(module).values() if isinstance(value, azure.functions.FunctionRegister))
print(json.dumps({
    function.get_function_name(): [json.loads(binding) for binding in function.get_raw_bindings()]
    for function in app.get_functions()
}))
"""


@pytest.fixture(scope="module", params=["ours", "official"])
def functions(request) -> dict[str, list[dict]]:
    python = sys.executable if request.param == "ours" else str(environment() / "bin/python")
    done = subprocess.run(
        [python, "-B", "-c", INDEX],
        cwd=ROOT / "function_app",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_pattern_is_an_orchestrator_of_its_name(functions):
    orchestrators = {
        name for name, bindings in functions.items() if any(each["type"] == "orchestrationTrigger" for each in bindings)
    }

    assert orchestrators == PATTERNS | {"provision_device"}


def test_routes_are_open_to_anyone_on_a_developers_machine(functions):
    triggers = [each for bindings in functions.values() for each in bindings if each["type"] == "httpTrigger"]

    assert {each["route"] for each in triggers} == {
        "orchestrators/{functionName}",
        "run/{functionName}",
        "approvals/{instanceId}",
        "counters/{key}",
    }
    assert {each["authLevel"] for each in triggers} == {"ANONYMOUS"}


def test_the_settings_at_the_top_are_the_apps():
    linked = ROOT / "function_app/host.json"

    assert linked.is_symlink()
    assert linked.resolve() == ROOT / "host.json"
    assert json.loads(linked.read_text())["extensions"]["durableTask"]["hubName"]


@pytest.mark.parametrize("folder", sorted((ROOT / "tests/apps/v1_patterns").glob("*/function.json")), ids=str)
def test_each_v1_function_names_a_script_that_is_there(folder):
    function = json.loads(folder.read_text())

    assert (folder.parent / function["scriptFile"]).is_file()
