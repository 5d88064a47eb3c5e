"""The API reference is made of docstrings: each public one has to be whole."""

import functools
import re
import subprocess
import sys
import types
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import azure.durable_functions
import azure.durable_functions.errors
import azure.durable_functions.replay
import azure.durable_functions.testing
import pytest

import taskhub
from tests.support.docstrings import Surface

SURFACE = Surface(
    [
        azure.durable_functions,
        azure.durable_functions.errors,
        azure.durable_functions.testing,
        azure.durable_functions.replay,
    ],
    ("azure.durable_functions",),
)


if util.find_spec("agents"):
    import azure.durable_functions.openai_agents

    AGENTS = Surface([azure.durable_functions.openai_agents, azure.durable_functions], ("azure.durable_functions",))
else:
    AGENTS = Surface([], ())
TASK_HUB = Surface([taskhub], ("taskhub",))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "built"
    script = Path(__file__).parents[3] / "scripts/docs.py"  # in a process of its own: it changes classes
    done = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "azure/durable_functions.html"


def places(value) -> tuple[str, ...]:
    """Return the entries that may be this thing's: its own, or that of a base which has a page too."""
    found = (name for name, other in SURFACE if other is value)
    return tuple(sorted(name for name in found if hasattr(azure.durable_functions, name.split(".")[0])))


@pytest.mark.parametrize("names", sorted({places(value) for _, value in SURFACE} - {()}), ids=" ".join)
def test_the_reference_has_a_place_for_every_public_name(reference, names):
    assert [name for name in names if f'id="{name}"' in _text(reference)] != []


def test_the_docstrings_are_understood(reference):
    shown = "".join(re.findall(r'(?s)<div class="docstring">.*?</div>', _text(reference)))

    assert "<strong>instance_id:</strong>" in shown
    assert re.findall(r":(?:meth|class|func):.{0,40}|<code>~.{0,40}", shown) == []


@functools.cache
def _text(page):
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "value"), list(SURFACE), ids=[name for name, _ in SURFACE])
def test_the_docstring_of_a_public_name_is_whole(name, value):
    assert SURFACE.gaps(name, value) == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, value in AGENTS if name.startswith("DurableAI")])
def test_the_docstring_of_a_public_name_for_agents_is_whole(name, value):
    assert AGENTS.gaps(name, value) == []


@pytest.mark.parametrize(("name", "value"), list(TASK_HUB), ids=[name for name, _ in TASK_HUB])
def test_the_docstring_of_a_public_name_of_the_task_hub_is_whole(name, value):
    assert TASK_HUB.gaps(name, value) == []


class Sample:
    """Stands for a public class.

    Args:
        told: a parameter.
    """

    def __init__(self, told, untold):
        pass

    def silent(self):
        pass

    def bare(self, amount: int) -> "int":
        """Add."""
        raise ValueError(amount)

    def whole(self, amount: int) -> "int":
        """Add.

        Args:
            amount: how much.

        Returns:
            The sum.

        Raises:
            ValueError: too much.
        """
        raise ValueError(amount)

    def pointing(self, amount: int) -> "int":
        """Add; see :meth:`Sample.whole`."""
        raise ValueError(amount)

    def astray(self):
        """Add; see :meth:`Sample.nowhere`."""


@dataclass
class Value:
    """A value."""

    told: int
    """What it is."""
    untold: int


@pytest.fixture
def sample():
    module = types.ModuleType("sample")
    module.__all__, module.Sample, module.Value = ["Sample", "Value"], Sample, Value
    return Surface([module], (__name__,))


@pytest.mark.parametrize(
    ("name", "value", "gaps"),
    [
        ("Sample", Sample, ["parameter untold"]),
        ("Sample.silent", Sample.silent, ["no docstring"]),
        ("Sample.bare", Sample.bare, ["parameter amount", "what it returns", "raises ValueError"]),
        ("Sample.whole", Sample.whole, []),
        ("Sample.pointing", Sample.pointing, []),
        ("Value", Value, ["field untold"]),
    ],
)
def test_a_gap_is_named(sample, name, value, gaps):
    assert sample.gaps(name, value) == gaps


def test_a_reference_that_leads_nowhere_is_found(sample):
    with pytest.raises(LookupError, match=r"astray refers to Sample\.nowhere"):
        sample.gaps("Sample.astray", Sample.astray)


def test_every_public_member_is_looked_at(sample):
    assert [name for name, _ in sample] == [
        "Sample",
        *(f"Sample.{name}" for name in ("silent", "bare", "whole", "pointing", "astray")),
        "Value",
    ]
