"""How the words of `taskhub start` are read; what it then does is tested in tests/e2e."""

import pytest
import typer
from typer.testing import CliRunner

from taskhub.cli.__main__ import application

START = typer.main.get_command(application()).commands["start"]


def read(*words):
    context = START.make_context("start", list(words))
    return list(context.params["functions"]), str(context.params["app_dir"])


@pytest.mark.parametrize(
    ("words", "functions", "folder"),
    [
        ((), [], "None"),
        (("--functions", "a", "b"), ["a", "b"], "None"),
        (("shop", "--functions", "a", "b", "--port", "0"), ["a", "b"], "shop"),
        (("--functions", "a", "--verbose", "shop"), ["a"], "shop"),
        (("shop", "--functions", "a", "--functions", "b"), ["a", "b"], "shop"),
        (("--functions=a", "shop"), ["a"], "shop"),
    ],
)
def test_all_words_after_functions_are_names(words, functions, folder):
    assert read(*words) == (functions, folder)


def test_functions_without_a_name_is_an_error():
    done = CliRunner().invoke(application("start"), ["start", "shop", "--functions", "--verbose"])

    assert done.exit_code == 2
    assert "'--functions' requires an argument" in done.stderr
