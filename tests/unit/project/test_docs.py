"""What the docs tell a reader to type, to open or to paste has to be there."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from taskhub.cli.__main__ import application

ROOT = Path(__file__).parents[3]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted(
    path
    for folder in ("taskhub", "sdk", "tests", "scripts", "benchmarks", "function_app")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "golden" not in path.parts and "__pycache__" not in path.parts
)


def in_docs(expression: str) -> list[tuple[Path, str]]:
    return [(path, found) for path in DOCS for found in re.findall(expression, path.read_text(encoding="utf-8"))]


def of_reader(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


@pytest.mark.parametrize(("doc", "script"), sorted(set(in_docs(r"\bscripts/[a-z][\w-]*\b"))), ids=of_reader)
def test_a_script_that_the_docs_name_is_there_and_executable(doc, script):
    path = ROOT / script

    assert path.is_file()
    assert path.stat().st_mode & 0o111


@pytest.mark.parametrize(("doc", "module"), sorted(set(in_docs(r"python -m ([a-z]\w*(?:\.\w+)+)"))), ids=of_reader)
def test_a_module_that_the_docs_run_is_there(doc, module):
    path = ROOT / module.replace(".", "/")

    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


@pytest.mark.parametrize(("doc", "link"), sorted(set(in_docs(r"\]\((?!https?:|#)([^)\s#]+)"))), ids=of_reader)
def test_a_link_leads_to_a_file(doc, link):
    assert (doc.parent / link).exists()


@pytest.mark.parametrize("doc", DOCS, ids=of_reader)
def test_code_in_the_docs_parses(doc):
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```", doc.read_text(encoding="utf-8"), re.S | re.M):
        if language == "python":
            compile(code, str(doc), "exec")
        elif language == "json":
            json.loads(code)


def test_a_decision_that_the_code_refers_to_is_written_down():
    named = {
        (path.relative_to(ROOT).as_posix(), found)
        for path in SOURCES
        for found in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8", errors="ignore"))
    }

    assert named
    assert sorted((source, doc) for source, doc in named if not (ROOT / doc).is_file()) == []


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")

    pages = [page for page in ROOT.glob("docs/**/*.md") if page.name != "index.md" and page.parent.name != "adr"]
    assert [page for page in pages if page.name not in index] == []
    assert "(adr/)" in index


# ---- the command line


def commands(group, *path: str):
    """Every command below ``group`` with its words, groups included."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


COMMANDS = dict(commands(typer.main.get_command(application())))


def options(command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("-")}


@pytest.mark.parametrize(
    ("doc", "line"), sorted(set(in_docs(r"(?m)^(?:\.venv/bin/)?taskhub ([^\n#]+)"))), ids=of_reader
)
def test_a_command_line_in_the_docs_is_understood(doc, line):
    words = shlex.split(line)
    path = tuple(word for number, word in enumerate(words) if tuple(words[: number + 1]) in COMMANDS)

    assert path, f"there is no command 'taskhub {line}'"
    assert {word for word in words if word.startswith("-")} <= options(COMMANDS[path]) | {"--help"}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_stands_in_the_reference(path):
    reference = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")

    assert " ".join(("taskhub", *path)) in reference
    assert [option for option in sorted(options(COMMANDS[path])) if option not in reference] == []
