"""The pytest plugin: the fixture ``durable_world`` and the marker ``durable``.

It is loaded with every pytest run, so it imports next to nothing before a test asks for a world. docs/howto/testing.md.
"""

from __future__ import annotations

import inspect
import shlex
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.durable_functions.testing.world import DurableWorld

_MARKER = (
    "durable(seeds=50, kills=True, duplicates=True, delays=False, reordering=True): run a test with durable_world "
    "under many seeds, in which workers die, messages come twice, and so on"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("durable functions")
    group.addoption("--durable-seed", type=int, metavar="N", help="the only seed of tests that are marked durable")
    group.addoption("--durable-seeds", type=int, metavar="N", help="how many seeds tests that are marked durable run")


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def durable_world() -> Iterator[DurableWorld]:
    """A simulated world for an app: virtual time, faked activities, workers that die."""
    from azure.durable_functions.testing.world import DurableWorld

    with DurableWorld() as world:
        yield world


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test under its seeds."""
    marker = pyfuncitem.get_closest_marker("durable")
    if marker is None:
        return None
    world: Any = pyfuncitem.funcargs.get("durable_world")
    if world is None:
        pytest.fail("a test that is marked durable needs the fixture durable_world", pytrace=False)
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pytest.fail("a test that is marked durable cannot be async; the world's methods are plain", pytrace=False)
    _explore(pyfuncitem, world, marker)
    return True


def _explore(item: pytest.Function, world: DurableWorld, marker: pytest.Mark) -> None:
    from azure.durable_functions.testing.errors import DurableWorldError
    from azure.durable_functions.testing.exploring import Exploration

    options: dict[str, Any] = dict(marker.kwargs)
    seed, seeds = item.config.getoption("--durable-seed"), item.config.getoption("--durable-seeds")
    if seeds is not None:
        options["seeds"] = seeds
    if seed is not None:
        options |= {"seeds": 1, "first_seed": seed}
    problem = None
    try:
        exploration = Exploration(**options)
    except (TypeError, DurableWorldError) as error:
        problem = str(error).removeprefix("Exploration.__init__() ")
    if problem is not None:
        pytest.fail(f"@pytest.mark.durable: {problem}", pytrace=False)
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    explorer = world._explorer(lambda: item.obj(**arguments), exploration, (Exception, pytest.fail.Exception))
    explorer.run(
        how_to_repeat=lambda number: f"pytest {shlex.quote(item.nodeid)} --durable-seed {number}",
        tell=lambda report: item.add_report_section("call", "durable world", report),
    )
