"""A long history is in memory once while it is loaded, and page by page on its way there."""

import tracemalloc
from datetime import datetime, timezone

from taskhub.model.ids import InstanceId
from taskhub.runtime.environment import Environment
from taskhub.runtime.services import Services
from taskhub.settings import TaskHubSettings
from taskhub.storage.interception import intercepted
from taskhub.storage.memory import open_memory
from tests.support.long_history import EVENTS_PER_STEP, write_history

LONG = InstanceId("long")


async def loaded(steps):
    """Load a history; return how many events it has, the rows of each page, and what loading took besides."""
    storage = open_memory(now=lambda: datetime.now(timezone.utc))
    settings = TaskHubSettings(hub_name="Long")
    await write_history(storage, settings, LONG, steps)
    pages = []

    async def count(call, act):
        page = await act()
        if call.method == "query":
            pages.append(len(page.rows))
        return page

    services = Services.of(intercepted(storage, count), settings, Environment(), wake=lambda queue, after: None)
    tracemalloc.start()
    history = await services.history.load(LONG)
    left, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return len(history.events), pages, peak - left


async def test_a_history_is_read_page_by_page_and_its_rows_are_let_go():
    few, few_pages, few_besides = await loaded(500)
    many, many_pages, many_besides = await loaded(5_000)

    assert (few, many) == (500 * EVENTS_PER_STEP, 5_000 * EVENTS_PER_STEP)
    assert (len(few_pages), len(many_pages)) == (3, 21)
    assert max(many_pages) == 1000
    # Ten times the events; the rows would be 7 MB.
    assert many_besides < few_besides + 3_000_000
