"""One store of each kind, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from taskhub.storage.azure import open_azure
from taskhub.storage.memory import open_memory
from taskhub.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from taskhub.storage.port import Storage


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    time: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc))

    def now(self) -> datetime:
        return self.time


@dataclass
class Subject:
    """A store under test."""

    storage: Storage
    kind: str
    clock: MovableClock | None
    prefix: str
    """Begins every name that the test makes: tests share an emulator."""

    @property
    def queues(self):
        return self.storage.queues

    @property
    def tables(self):
        return self.storage.tables

    @property
    def blobs(self):
        return self.storage.blobs

    async def pass_time(self, seconds: float) -> None:
        """Let the store's clock go on; only the emulator makes the test wait for it."""
        if self.clock is None:
            await asyncio.sleep(seconds)
        else:
            self.clock.time += timedelta(seconds=seconds)

    async def a_queue(self, name: str = "q") -> str:
        await self.queues.create_queue(f"{self.prefix}-{name}")
        return f"{self.prefix}-{name}"

    async def a_table(self, name: str = "Rows") -> str:
        await self.tables.create_table(f"{self.prefix}{name}")
        return f"{self.prefix}{name}"

    async def a_container(self, name: str = "c") -> str:
        await self.blobs.create_container(f"{self.prefix}-{name}")
        return f"{self.prefix}-{name}"


@pytest.fixture(params=["memory", "sqlite", pytest.param("azure", marks=pytest.mark.azurite)])
async def subject(request: pytest.FixtureRequest, tmp_path) -> AsyncIterator[Subject]:
    clock: MovableClock | None = MovableClock()
    if request.param == "memory":
        storage = open_memory(now=clock.now)
    elif request.param == "sqlite":
        storage = await open_sqlite(tmp_path / "hub.db", now=clock.now)
    else:
        clock = None
        storage = await open_azure(connection_string=request.getfixturevalue("azurite"))
    yield Subject(storage, request.param, clock, f"t{uuid.uuid4().hex[:10]}")
    await storage.aclose()
