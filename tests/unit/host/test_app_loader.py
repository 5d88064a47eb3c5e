import json
import os
import sys

import pytest

V2 = """
    import azure.functions as func

    app = func.FunctionApp()

    @app.route(route="hello/{name}", methods=["GET", "POST"])
    def hello(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse("hi")

    @app.function_name("Zulu")
    @app.route()
    def other(req: func.HttpRequest) -> str:
        return "x"
"""
HTTP = {"bindings": [{"name": "req", "type": "httpTrigger"}, {"name": "$return", "type": "http", "direction": "out"}]}
MAIN = "def main(req):\n    return 'x'\n"


def v1(app, name, *, function=None, script="def main(req):\n    return 'x'\n", file="__init__.py"):
    app.write(f"{name}/function.json", json.dumps(function or HTTP))
    if script is not None:
        app.write(f"{name}/{file}", script)
    return app


# ---- v2


def test_functions_of_a_decorated_app_are_found_and_sorted(app):
    loaded = app.write("function_app.py", V2).load()

    assert [function.name for function in loaded.functions] == ["hello", "Zulu"]
    hello, zulu = loaded.functions
    assert hello.trigger.properties["route"] == "hello/{name}"
    assert hello.trigger.properties["methods"] == ["GET", "POST"]
    assert zulu.trigger.properties["route"] == "Zulu"
    assert hello.directory == app.root
    assert (loaded.errors, loaded.failure, loaded.warnings) == ((), None, ())


def test_the_current_directory_is_the_root_and_the_root_stands_last_on_the_path(app):
    app.write(
        "function_app.py",
        "import os, json\nHERE = os.getcwd()\nimport azure.functions as func\n" + "app = func.FunctionApp()",
    )
    app.write("json/__init__.py", "raise RuntimeError('shadowed')")

    loaded = app.load()

    assert loaded.failure is None
    assert os.getcwd() == str(app.root)
    assert sys.path[-1] == str(app.root)


def test_vendored_packages_stand_first_on_the_path(app):
    app.write(".python_packages/lib/site-packages/vendored_thing.py", "VALUE = 'vendored'")
    app.write("vendored_thing.py", "VALUE = 'root'")
    app.write(
        "function_app.py",
        "import vendored_thing\n"
        + "assert vendored_thing.VALUE == 'vendored'\n"
        + "import azure.functions as func\napp = func.FunctionApp()",
    )

    assert app.load().failure is None


COUNTED = """
    import azure.functions as func

    class Counted(func.FunctionApp):
        asked = 0

        def get_functions(self):
            Counted.asked += 1
            return super().get_functions()

    app = Counted()
    same = app

    @app.route()
    def hello(req: func.HttpRequest) -> str:
        return "x"
"""


def test_an_app_gives_out_its_functions_once(app):
    loaded = app.write("function_app.py", COUNTED).load()

    assert [function.name for function in loaded.functions] == ["hello"]
    assert sys.modules["function_app"].Counted.asked == 1


def test_an_alias_of_the_app_is_no_second_app(app):
    app.write("function_app.py", V2 + "\n    alias = app\n")

    assert len(app.load().functions) == 2


def test_two_apps_are_refused_by_name(app):
    app.write("function_app.py", V2 + "\n    second = func.FunctionApp()\n")

    loaded = app.load()

    assert loaded.functions == ()
    assert "More than one top level function app instance is defined (app, second)" in loaded.failure


def test_a_script_without_an_app_is_told_how_to_make_one(app):
    loaded = app.write("function_app.py", "x = 1").load()

    assert loaded.failure.startswith("function_app.py: Could not find top level function app instances.")
    assert "app = func.FunctionApp()" in loaded.failure


def test_a_missing_module_is_named_with_the_line_and_the_way_to_get_it(app):
    loaded = app.write("function_app.py", "import azure.functions\nimport nowhere_to_be_found\n").load()

    assert (
        "function_app.py could not be loaded: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
        in loaded.failure
    )
    assert 'function_app.py", line 2' in loaded.failure
    assert "pip install -r requirements.txt" in loaded.failure
    assert "taskhub/host" not in loaded.failure


def test_a_syntax_error_names_file_and_line(app):
    loaded = app.write("function_app.py", "a = 1\ndef broken(:\n    pass\n").load()

    assert "SyntaxError" in loaded.failure
    assert f"Correct line 2 of {app.root / 'function_app.py'}" in loaded.failure


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("@app.function_name('Idle')\n    def idle(x): pass", "Function Idle does not have a trigger"),
        ("@app.route()\n    def hello(req): pass", "Function hello does not have a unique function name"),
    ],
    ids=["no trigger", "a name twice"],
)
def test_what_the_library_refuses_fails_the_app_with_its_words(app, body, message):
    loaded = app.write("function_app.py", f"{V2}\n    {body}\n").load()

    assert loaded.functions == ()
    assert loaded.failure.startswith(f"function_app.py: {message}")


def test_another_script_name_is_honoured_and_checked(app):
    app.write("my-app.py", V2)

    assert len(app.load(PYTHON_SCRIPT_FILE_NAME="my-app.py").functions) == 2
    assert app.load(PYTHON_SCRIPT_FILE_NAME="../app.py").failure.startswith("Invalid file name: ../app.py")


def test_a_mixed_app_runs_as_v2_with_a_warning(app):
    v1(app.write("function_app.py", V2), "Old")

    loaded = app.load()

    assert [function.name for function in loaded.functions] == ["hello", "Zulu"]
    assert loaded.warnings == ("Detected mixed function app. Some functions may not be indexed - Old",)


def test_an_empty_v2_app_falls_back_to_folders(app):
    v1(app.write("function_app.py", "import azure.functions as func\napp = func.FunctionApp()"), "Old")

    assert [function.name for function in app.load().functions] == ["Old"]


def test_a_folder_without_functions_gives_an_empty_app(app):
    loaded = app.load()

    assert (loaded.functions, loaded.errors, loaded.failure) == ((), (), None)


# ---- v1


def test_folders_are_functions(app):
    loaded = v1(v1(app, "beta"), "Alpha").load()

    assert [function.name for function in loaded.functions] == ["Alpha", "beta"]
    assert loaded.functions[0].directory == app.root / "Alpha"


def test_modules_are_named_as_in_the_original_so_that_relative_imports_and_histories_work(app):
    app.write("shared/values.py", "class Value: pass")
    script = """
    from ..shared.values import Value
    import __app__.shared.values as again
    assert again.Value is Value
    def main(req): return Value
    """
    v1(app, "One", script=script)

    (function,) = app.load().functions

    assert function.call.__module__ == "__app__.One"
    assert function.call(None).__module__ == "__app__.shared.values"


def test_entry_point_and_a_script_above_the_folder(app):
    app.write("handlers/all.py", "def first(req): return 1\ndef second(req): return 2")
    v1(app, "One", function={**HTTP, "scriptFile": "../handlers/all.py", "entryPoint": "first"}, script=None)
    v1(app, "Two", function={**HTTP, "SCRIPTFILE": "../handlers/all.py", "entrypoint": "second"}, script=None)

    assert [function.call(None) for function in app.load().functions] == [1, 2]


@pytest.mark.parametrize(
    ("files", "used"),
    [(["only.py"], "only"), (["run.py", "helper.py"], "run"), (["__init__.py", "helper.py"], "__init__")],
)
def test_the_script_is_guessed_when_none_is_named(app, files, used):
    app.write("One/function.json", json.dumps(HTTP))
    for file in files:
        app.write(f"One/{file}", f"def main(req): return {file.removesuffix('.py')!r}")

    (function,) = app.load().functions

    assert function.call(None) == used


@pytest.mark.parametrize(
    ("function", "script", "message"),
    [
        ({"bindings": []}, MAIN, "At least one binding must be declared."),
        ({"bindings": [{"name": "x", "type": "queue"}]}, MAIN, "No trigger binding is declared."),
        ({"bindings": HTTP["bindings"][:1] * 2}, MAIN, "Two bindings are named 'req'"),
        (
            {"bindings": [{"name": "a", "type": "httpTrigger"}, {"name": "b", "type": "timerTrigger"}]},
            MAIN,
            "More than one trigger is declared (httpTrigger, timerTrigger)",
        ),
        ({"bindings": [{"name": "a b", "type": "httpTrigger"}]}, MAIN, "The binding name 'a b' is not valid"),
        ({"bindings": [{"name": "req", "type": "httpTrigger", "direction": "up"}]}, MAIN, "direction of binding 'req'"),
        (HTTP, "def other(req): pass", "Bad/__init__.py has no function 'main'"),
        ({**HTTP, "scriptFile": "gone.py"}, MAIN, "scriptFile 'Bad/gone.py' does not exist"),
        ({**HTTP, "scriptFile": "../../out.py"}, MAIN, "lies outside of the app's folder"),
        ({**HTTP, "scriptFile": "run.js"}, MAIN, "'run.js' is not a Python file"),
        (HTTP, "import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        (HTTP, "1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_bad_function_is_named_and_the_others_run(app, function, script, message):
    v1(v1(app, "Good"), "Bad", function=function, script=script)

    loaded = app.load()

    assert [function.name for function in loaded.functions] == ["Good"]
    (error,) = loaded.errors
    assert str(error).startswith("The 'Bad' function is in error: ")
    assert message in error.reason


def test_a_broken_function_json_names_file_and_place(app):
    app.write("Bad/function.json", "{ oops").write("Bad/__init__.py", MAIN)

    (error,) = app.load().errors

    assert f"{app.root / 'Bad' / 'function.json'} is not valid JSON: line 1, column 3" in error.reason


@pytest.mark.parametrize("name", ["host", "1st", "a.b"])
def test_bad_function_names_are_refused(app, name):
    (error,) = v1(app, name).load().errors

    assert f"'{name}' is not a valid function name" in error.reason


# ---- both


def test_only_allowed_functions_are_loaded(app):
    app.write("host.json", json.dumps({"version": "2.0", "functions": ["ZULU"]}))

    assert [function.name for function in app.write("function_app.py", V2).load().functions] == ["Zulu"]


@pytest.mark.parametrize("environment", [{"AzureWebJobs.hello.Disabled": "true"}, {"AzureWebJobs_hello_Disabled": "1"}])
def test_a_setting_disables_a_function(app, environment):
    hello, zulu = app.write("function_app.py", V2).load(**environment).functions

    assert (hello.is_disabled, zulu.is_disabled) == (True, False)


@pytest.mark.parametrize(("disabled", "expected"), [(True, True), (False, False), ("OFF", True), ("UNSET", False)])
def test_function_json_disables_a_function_itself_or_by_a_setting(app, disabled, expected):
    (function,) = v1(app, "One", function={**HTTP, "disabled": disabled}).load(OFF="true").functions

    assert function.is_disabled is expected
