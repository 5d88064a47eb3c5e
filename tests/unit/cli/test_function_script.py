"""What `taskhub new` does to a script: pure text to text."""

import ast

import pytest

from taskhub.cli.function_script import ScriptError, read_script, with_blueprint, with_functions
from taskhub.cli.templates import NewFunction, hub_name_of, queue_name_of

TIMER = NewFunction("timer", "tick", "", "tick", None)
STARTER = NewFunction("starter", "begin", "", "begin/{functionName}", "anonymous")


def added(text, *functions):
    script = read_script(text, "function_app.py")
    return with_functions(script, [each.script_v2(script.app) for each in functions], "function_app.py")


def test_an_app_of_any_name_gets_the_function_at_its_end():
    text = added("import azure.functions as func\n\nshop = func.FunctionApp()\n", TIMER)

    assert text.startswith(
        "import logging\n\nimport azure.functions as func\n\nshop = func.FunctionApp()\n\n\n@shop.timer_tr"
    )
    assert text.endswith('", late" if timer.past_due else "")\n')


def test_imports_that_are_there_are_not_written_again():
    imports = "import json\nimport logging\nimport azure.functions as func\nimport azure.durable_functions as df\n"

    text = added(f"{imports}app = df.DFApp()", STARTER)

    assert text.startswith(imports)
    assert text.count("import ") == 4


@pytest.mark.parametrize(
    "head",
    [
        '"""Docs."""\n',
        "from __future__ import annotations\n",
        '"""Docs."""\nfrom __future__ import annotations\n',
        "# a comment\n",
    ],
)
def test_imports_go_where_python_takes_them(head):
    text = added(f"{head}from azure.durable_functions import DFApp\n\napp = DFApp()\n", STARTER)

    compile(text, "function_app.py", "exec")
    assert ast.get_docstring(ast.parse(text)) == ast.get_docstring(ast.parse(head))


def test_what_is_durable_is_known_by_where_the_class_comes_from():
    assert read_script("import azure.durable_functions as df\napp = df.DFApp()", "x.py").is_durable
    assert read_script("from azure.durable_functions import DFApp\napp: DFApp = DFApp()", "x.py").is_durable
    assert not read_script("import azure.functions as func\napp = func.FunctionApp()", "x.py").is_durable
    blueprint = "import azure.functions as func\nbp = func.Blueprint()"
    assert not read_script(blueprint, "x.py", of_blueprint=True).is_durable


def test_functions_are_known_by_the_names_that_the_host_gives_them():
    text = "@app.function_name('Send-Mail')\n@app.route()\ndef send(req): ...\n\ndef helper(): ...\n"

    assert read_script(text, "x.py").functions == {"send-mail", "send"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def broken(:", "no valid Python: .* Correct line 1 first"),
        ("import azure.functions as func\na = func.FunctionApp()\nb = func.FunctionApp()", r"several .* \(a, b\)"),
        ("import azure.functions as func\nlogging = 1\napp = func.FunctionApp()", "'logging' is not logging"),
    ],
)
def test_a_script_that_cannot_be_added_to_is_refused_with_the_reason(text, complaint):
    with pytest.raises(ScriptError, match=complaint):
        added(text, TIMER)


def test_a_blueprint_is_imported_and_registered():
    script = read_script("import azure.functions as func\n\nshop = func.FunctionApp()\n", "function_app.py")

    text = with_blueprint(script, "mail", "bp")

    assert text.startswith("import azure.functions as func\nimport mail\n\nshop = ")
    assert text.endswith("FunctionApp()\n\nshop.register_functions(mail.bp)\n")


@pytest.mark.parametrize(
    ("folder", "hub"),
    [("my-app", "MyApp"), ("shop", "Shop"), ("2nd try", "NdTry"), ("ö", "Hub"), ("a" * 80, "A" + "a" * 44)],
)
def test_a_hub_is_named_after_the_folder(folder, hub):
    assert hub_name_of(folder) == hub


@pytest.mark.parametrize(
    ("name", "queue"), [("Orders", "orders"), ("send_Mail", "send-mail"), ("q", "q-items"), ("x" * 99, "x" * 56)]
)
def test_queues_get_names_that_storage_takes(name, queue):
    assert queue_name_of(name) == queue
