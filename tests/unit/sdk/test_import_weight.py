"""What importing the package costs, and that nothing in the app's folder can stop it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.imports import APP

SDK = Path(__file__).parents[3] / "sdk" / "azure" / "durable_functions"
HEAVY = ("taskhub", "aiohttp", "azure.storage", "azure.data", "azure.core", "azure.identity", "opentelemetry")
BINDING = json.dumps(
    {
        "taskHubName": "Hub",
        "creationUrls": {},
        "managementUrls": {"id": "ID", "statusQueryGetUri": "http://x.test/ID"},
        "rpcBaseUrl": "http://x.test/",
    }
)


def run(source: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Bytecode is kept even where the environment forbids it: one test imports every module dozens of times.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(cwd / "bytecode")
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def loaded_after(source: str, cwd: Path) -> list[str]:
    ended = run(f"{source}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))", cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    found: list[str] = json.loads(ended.stdout)
    return found


def heavy(modules: list[str]) -> list[str]:
    return [name for name in modules if any(name == each or name.startswith(each + ".") for each in HEAVY)]


def test_import_loads_neither_the_task_hub_nor_a_client_nor_azure_functions(tmp_path):
    modules = loaded_after("import azure.durable_functions", tmp_path)

    assert heavy(modules) == []
    assert "azure.functions" not in modules


def test_an_app_loads_nothing_but_our_modules_and_what_azure_functions_loads(tmp_path):
    modules = {*loaded_after(APP, tmp_path)} - {*loaded_after("import azure.functions", tmp_path)}

    assert [name for name in modules if not name.startswith("azure.durable_functions")] == []
    ours = {name.removeprefix("azure.durable_functions.") for name in modules}
    # Values that are no plain JSON, UUIDs, and what only type checkers read: with decimal, uuid and more behind them.
    assert ours & {"_conversion", "_replay.uuids", "_replay.annotations", "decorators.builders"} == set()


def test_a_client_loads_no_http_client_before_its_first_request(tmp_path):
    use = f"{APP}\ndf.DurableOrchestrationClient({BINDING!r}).create_check_status_response(None, 'x')"

    assert heavy(loaded_after(use, tmp_path)) == []


def test_using_every_public_name_loads_neither_the_task_hub_nor_an_http_client(tmp_path):
    modules = loaded_after("from azure.durable_functions import *", tmp_path)

    assert "azure.durable_functions.decorators.durable_app" in modules
    assert heavy(modules) == []


def test_live_shell_loads_no_client_and_no_azure_functions(tmp_path):
    modules = loaded_after("import azure.durable_functions.replay", tmp_path)

    assert heavy(modules) == []
    assert "azure.functions" not in modules
    assert "azure.durable_functions.models" not in modules


def test_every_module_can_be_the_first_to_be_imported(tmp_path):
    names = [
        ".".join(("azure", "durable_functions", *path.relative_to(SDK).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted(SDK.rglob("*.py"))
    ]
    script = f"""
import importlib, sys
for name in {names!r}:
    for loaded in [each for each in sys.modules if each.startswith("azure.durable_functions")]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""

    ended = run(script, cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"extensionBundle": 1}', '{"extensionBundle": {"version": ["1"]}}', "\ufeff{}"],
)
def test_broken_host_json_does_not_stop_the_import(tmp_path, text):
    (tmp_path / "host.json").write_text(text, encoding="utf-8")

    ended = run("import azure.durable_functions", cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_old_extension_bundle_is_warned_of(tmp_path):
    bundle = {"version": "2.0", "extensionBundle": {"id": "x", "version": "[1.*, 2.0.0)"}}
    (tmp_path / "host.json").write_text(json.dumps(bundle), encoding="utf-8")

    ended = run("import azure.durable_functions", cwd=tmp_path)

    assert ended.returncode == 0
    assert "extension bundle 1" in ended.stderr


def test_function_json_apps_are_not_warned_of(tmp_path):
    (tmp_path / "host.json").write_text("{}", encoding="utf-8")
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "function.json").write_text("{}", encoding="utf-8")

    ended = run("import azure.durable_functions as df; df.DurableFunctionsCompatibilityWarning", cwd=tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_unknown_name_is_an_attribute_error_that_names_it(tmp_path):
    ended = run("import azure.durable_functions as df; df.NoSuchThing", cwd=tmp_path)

    assert "AttributeError: module 'azure.durable_functions' has no attribute 'NoSuchThing'" in ended.stderr
