import io
import logging
import re
import sys

import pytest

from taskhub.host.console import Console, captured_output, wants_colour
from taskhub.host.invocation import Invocation

STAMP = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "


def console(**options):
    written = io.StringIO()
    return Console(written, **options), written


@pytest.mark.parametrize(
    ("options", "level", "category", "shown"),
    [
        ({}, "information", "Function.hello.User", True),
        ({}, "debug", "Function.hello.User", False),
        ({}, "information", "Host.General", False),
        ({}, "warning", "Host.General", True),
        ({"verbose": True}, "information", "Host.General", True),
        ({}, "information", "Host.Function.Console", True),
        ({}, "information", "taskhub.taskhub.runtime.worker", False),
        ({"log_levels": {"default": "Information"}}, "information", "azure.functions.DurableFunctions", False),
        ({"log_levels": {"default": "Information"}}, "information", "azure_functions_worker", False),
        ({"log_levels": {"azure.functions": "Debug"}}, "debug", "azure.functions.DurableFunctions", True),
        ({"verbose": True}, "information", "azure.functions.DurableFunctions", True),
        ({"log_levels": {"default": "Warning"}}, "information", "Function.hello", False),
        ({"log_levels": {"default": "Debug"}}, "debug", "Host.General", True),
        ({"log_levels": {"function": "Error", "function.hello": "Debug"}}, "debug", "Function.hello.User", True),
        ({"log_levels": {"function": "Error", "function.hello": "Debug"}}, "warning", "Function.hellos", False),
        ({"log_levels": {"function": "None"}}, "critical", "Function.hello", False),
    ],
)
def test_levels_follow_the_longest_category(options, level, category, shown):
    assert console(**options)[0].shows(level, category) is shown


def test_every_line_of_a_message_has_its_time():
    out, written = console()

    out.log("warning", "Host.General", "one\ntwo")

    assert re.fullmatch(STAMP + "one\n" + STAMP + "two\n", written.getvalue())


def test_colours_are_written_only_when_asked_for():
    plain, coloured = console(), console(colour=True)

    for out, _ in (plain, coloured):
        out.error("x")

    assert "\x1b" not in plain[1].getvalue()
    assert "\x1b[31mx\x1b[0m" in coloured[1].getvalue()


def test_colours_are_wanted_on_a_terminal_unless_the_environment_says_no():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert wants_colour(Terminal(), {})
    assert not wants_colour(Terminal(), {"NO_COLOR": "1"})
    assert not wants_colour(io.StringIO(), {})


def test_a_failed_invocation_is_told_with_its_failure():
    out, written = console()

    out.executed(Invocation("1-2", "hello"), 0.0154, "Result: Failure\nException: ValueError: boom")

    assert re.sub(STAMP, "", written.getvalue()) == (
        "Executed 'Functions.hello' (Failed, Id=1-2, Duration=15ms)\n"
        "Exception while executing function: Functions.hello. Result: Failure\n"
        "Exception: ValueError: boom\n"
    )


def test_prints_become_whole_lines_with_levels_by_their_words():
    out, written = console()

    with captured_output(out, debug=False):
        print("a", end=" ")
        print("b")
        print("it failed", file=sys.stderr)
        print("no end", end="")

    assert re.sub(STAMP, "", written.getvalue()) == "a b\nit failed\nno end\n"


def test_logs_of_libraries_and_user_code_pass_by_their_category():
    out, written = console()

    with captured_output(out, debug=True):
        logging.getLogger("mine").info("seen %s", 1)
        logging.getLogger("taskhub.runtime").info("too detailed")
        logging.getLogger("mine").debug("too quiet")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("mine").exception("trouble")

    text = re.sub(STAMP, "", written.getvalue())
    assert text.startswith("seen 1\ntrouble\nTraceback (most recent call last):\n")
    assert text.endswith("ValueError: boom\n")
    assert "too" not in text
