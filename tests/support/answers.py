"""Gives the texts of triggers to a function, and tells what it answered.

It runs in two interpreters: imported beside our SDK, and as a script beside the reference's, which then answers one
line of JSON with one line: ``{"source": text, "strict": bool, "triggers": [text...]}`` with ``{"answers": [...]}``.
So it imports nothing but the standard library, and the SDK through the source.

An answer is ``{"state", "raised", "warnings"}``. As in the cases of ``tests/golden/outofproc``, ``raised`` has the
error's ``type``, the ``cause``'s type and the text before the marker (``prefix``); ``state`` is then what is behind it.
"""

from __future__ import annotations

import json
import os
import sys
import types
import warnings
from typing import Any

MARKER = "\n\n$OutOfProcData$:"
STRICT = "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"

MODULE = "case_random"
"""Name of the module that a program is loaded as; its custom classes say so in what they encode to."""


def load(text: str) -> Any:
    """Run the text of a module and return it; custom classes are found in it until another one is loaded."""
    module = sys.modules.get(MODULE)
    if module is not None and module.__doc__ == text:
        return module
    module = sys.modules[MODULE] = types.ModuleType(MODULE, doc=text)
    exec(compile(text, f"{MODULE}.py", "exec"), module.__dict__)
    return module


def answers(source: str, triggers: list[str], *, strict: bool = False) -> list[dict[str, Any]]:
    """Load a module and give each trigger to its ``main``."""
    be_strict(strict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main = load(source).main
    return [answer(main, trigger) for trigger in triggers]


def be_strict(strict: bool) -> None:
    """Choose the mode in which custom classes are decoded."""
    os.environ[STRICT] = "1" if strict else "0"


def answer(main: Any, trigger: str) -> dict[str, Any]:
    """Return what a handle answers to the text of a trigger."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        state, raised = _outcome(main, trigger)
    return {"state": state, "raised": raised, "warnings": [str(each.message) for each in caught]}


def _outcome(main: Any, trigger: str) -> tuple[Any, Any]:
    try:
        text = main(trigger)
    except Exception as error:
        prefix, marker, tail = str(error).partition(MARKER)
        cause = None if error.__cause__ is None else type(error.__cause__).__name__
        return json.loads(tail) if marker else None, {"type": type(error).__name__, "cause": cause, "prefix": prefix}
    return _without_clock(json.loads(text)), None


def _without_clock(state: Any) -> Any:
    """Return a state without the clock readings in an entity's results."""
    for result in state.get("results", []) if isinstance(state, dict) else []:
        result.update(duration=0, startTime=0)
    return state


def serve() -> None:
    """Answer lines until there are no more."""
    answer_to = sys.stdout
    sys.stdout = sys.stderr  # what a package prints is no answer
    for line in sys.stdin:
        request = json.loads(line)
        answered = answers(request["source"], request["triggers"], strict=request["strict"])
        answer_to.write(json.dumps({"answers": answered}) + "\n")
        answer_to.flush()


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    serve()
