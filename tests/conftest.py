"""Fixtures for all suites: the emulator, and a store of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.azurite import running_azurite

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """Connection string of an Azurite of this test process; tests share it, each under names of its own."""
    with running_azurite() as emulator:
        yield emulator.connection_string
