"""What type checkers make of programs of users: those that are right, those that are wrong, and whole apps.

Each of mypy and pyright runs once over everything.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import azure.functions as func
import pytest

from tests.support.contexts import context_text, event
from tests.support.modules import load_module
from tests.support.pages import blocks
from tests.support.type_checkers import Complaint, completeness, expected, mypy, pyright

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ACCEPTED = sorted((HERE / "accepted").glob("*.py"))
REFUSED = sorted((HERE / "refused").glob("*.py"))
APPS = [ROOT / "function_app", ROOT / "tests/apps/v1_patterns", *sorted((ROOT / "tests/apps/samples").glob("*/"))]

UNSET = "a setting of the environment may be missing"
NO_ROUTE = "azure.functions says that a part of the route may be missing"
MISTAKES = {
    ("pdf_summarizer/function_app.py", "OptionalMemberAccess"): "a blob may have no name",
    ("quickstart_azd/function_app.py", "ArgumentType"): NO_ROUTE,
    ("v1_fan_in_fan_out/E2_CopyFileToBlob/__init__.py", "ArgumentType"): UNSET,
    ("v1_fan_in_fan_out/E2_CopyFileToBlob/__init__.py", "ReturnType"): "the annotation is not true, on purpose",
    ("v2_fan_in_fan_out/function_app.py", "ArgumentType"): UNSET,
    ("v2_versioning/function_app.py", "ArgumentType"): NO_ROUTE,
}
"""What is wrong in apps that are kept in the shape of public samples; nothing of it is said of our package."""

OF_THE_LIBRARY = re.compile(
    r"azure\.functions|HttpRequest|HttpResponse|AuthLevel|ABCBuildDictMeta|FunctionRegister|BuiltFunction"
)
"""In complaints: classes of ``azure.functions`` that lack annotations, and one of ours whose base is such a class."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the page about types; what its comments say of variables is asserted."""
    code = "\n\n".join(blocks(ROOT / "docs/howto/types.md", "python"))
    code, count = _TYPE_OF_VARIABLE.subn(r"\g<0>\n\g<indent>assert_type(\g<name>, \g<type>)", code)
    assert count == 5
    file = tmp_path_factory.mktemp("page") / "page_about_types.py"
    file.write_text(f"from typing_extensions import assert_type\n{code}", encoding="utf-8")
    return file


_TYPE_OF_VARIABLE = re.compile(r"^(?P<indent> +)(?P<name>\w+) = .*  # (?P<type>\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def found_by_mypy(page: Path, tmp_path_factory: pytest.TempPathFactory) -> set[Complaint]:
    return mypy([*ACCEPTED, *REFUSED, page], cache=tmp_path_factory.mktemp("mypy") / "cache")


@pytest.fixture(scope="module")
def found_by_pyright(page: Path, tmp_path_factory: pytest.TempPathFactory) -> set[Complaint]:
    folder = tmp_path_factory.mktemp("pyright")
    return pyright(folder, strict=[HERE / "accepted", page.parent], basic=[HERE / "refused", *APPS])


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_right_programs_are_accepted(checker: str, request: pytest.FixtureRequest, page: Path) -> None:
    found: set[Complaint] = request.getfixturevalue(f"found_by_{checker}")

    assert [each for each in sorted(found) if each.file in (*ACCEPTED, page)] == []


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_wrong_lines_are_refused_and_no_others(checker: str, request: pytest.FixtureRequest) -> None:
    found: set[Complaint] = request.getfixturevalue(f"found_by_{checker}")

    wanted = expected(REFUSED, checker)
    assert len(wanted) > 80
    assert sorted(each for each in found if each.file in REFUSED) == sorted(wanted)


def test_apps_are_clean_but_for_their_own_mistakes(found_by_pyright: set[Complaint]) -> None:
    of_apps = [each for each in found_by_pyright if any(app in each.file.parents for app in APPS)]

    assert {("/".join(each.file.parts[_depth(each) :]), each.rule) for each in of_apps} == MISTAKES.keys()


def _depth(complaint: Complaint) -> int:
    """Return where an app's folder is in a path."""
    app = next(app for app in APPS if app in complaint.file.parents)
    return len(app.parts) - 1


def test_the_page_about_types_runs(page: Path) -> None:
    module = load_module(page, f"typed_{page.stem}")
    handles = {each.get_function_name(): each.get_user_function() for each in module.app.get_functions()}

    quote = handles["quote"](context_text(*(done(n, value) for n, value in enumerate([ORDER, 30, 30]))))
    approved = event(15, Name="approved", Input="true")
    shop = handles["shop"](context_text(event(8, TaskScheduledId=0, Result="60"), approved, done(1, 3)))

    assert json.loads(quote)["output"] == 60
    assert json.loads(shop)["output"] == "63, True"


ORDER = {"id": "o-1", "amount": 10}


def done(task_id: int, value: object) -> dict[str, object]:
    return event(5, TaskScheduledId=task_id, Result=json.dumps(value))


@pytest.mark.parametrize("file", ACCEPTED, ids=lambda file: file.stem)
def test_right_programs_are_right_at_run_time_too(file: Path) -> None:
    module = load_module(file, f"typed_{file.stem}")

    functions = module.app.get_functions()
    assert len(functions) == len({each.get_function_name() for each in functions}) > 1


def test_public_names_have_types_but_for_what_the_library_lacks(tmp_path: Path) -> None:
    # As they are where both are installed: below one folder.
    (tmp_path / "azure").mkdir()
    for folder in (ROOT / "sdk/azure/durable_functions", Path(func.__file__).parent):
        (tmp_path / "azure" / folder.name).symlink_to(folder)
    (tmp_path / "taskhub").symlink_to(ROOT / "taskhub")  # the world of azure.durable_functions.testing

    symbols = completeness("azure.durable_functions", tmp_path)["symbols"]

    ours = [each for each in symbols if each["name"].startswith("azure.durable_functions")]
    assert len(ours) > 700
    assert [each["name"] for each in ours if each["isTypeAmbiguous"]] == []
    unknown = [each for each in ours if not each["isTypeKnown"]]
    missing = [said["message"] for each in unknown for said in each["diagnostics"]]
    consequence = 'Type of base class "azure.durable_functions.'
    assert [text for text in missing if not OF_THE_LIBRARY.search(text) and not text.startswith(consequence)] == []
