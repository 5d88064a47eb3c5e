"""The pytest plugin: the fixture ``durable_world``. Loaded with every pytest run, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.durable_functions.testing.world import DurableWorld


@pytest.fixture
def durable_world() -> Iterator[DurableWorld]:
    """A simulated world for an app: virtual time, faked activities, workers that die. docs/howto/testing.md."""
    from azure.durable_functions.testing.world import DurableWorld

    with DurableWorld() as world:
        yield world
