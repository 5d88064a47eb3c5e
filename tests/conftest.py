"""Fixtures for all suites: the emulator, and a store of every kind."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tests.support.azurite import running_azurite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from taskhub.storage.port import Storage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests with processes of their own go first: they wait for real leases, and others fill the time.

    Each process of the run begins with an equal part of the list, so each part begins with an equal share of them.
    """
    parts = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # Tests that share a host stay together.
    shares: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("e2e") is not None:
            shares.setdefault(_shared_by(item), []).append(item)
    groups = list(shares.values())
    quick = iter([item for item in items if item.get_closest_marker("e2e") is None])
    size = -(-len(items) // parts)
    items.clear()
    for part in range(parts):
        share = [item for group in groups[part::parts] for item in group]
        items += share
        items += islice(quick, max(0, size - len(share)))
    items += quick


def _shared_by(item: pytest.Item) -> str:
    """Return what tests with processes have in common that must not run in two processes of the run."""
    if "shared_host" not in getattr(item, "fixturenames", ()):
        return item.nodeid
    callspec = getattr(item, "callspec", None)
    host = callspec.params.get("shared_host") if callspec is not None else None
    return f"{item.path} {host}"


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """Connection string of an Azurite of this test process; tests share it, each under names of its own."""
    with running_azurite() as emulator:
        yield emulator.connection_string


@pytest.fixture(params=["memory", "sqlite", pytest.param("azure", marks=pytest.mark.azurite)])
async def any_storage(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[Storage]:
    """An open store of each kind in turn, in real time."""
    if request.param == "memory":
        from taskhub.storage.memory import open_memory

        storage = open_memory(now=lambda: datetime.now(timezone.utc))
    elif request.param == "sqlite":
        from taskhub.storage.sqlite import open_sqlite

        storage = await open_sqlite(tmp_path / "hub.db")
    else:
        from taskhub.storage.azure import open_azure

        storage = await open_azure(connection_string=request.getfixturevalue("azurite"))
    yield storage
    await storage.aclose()
