"""Values that no row can hold are noticed before anything is sent."""

from datetime import datetime, timezone

import pytest

from taskhub import PayloadError
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from tests.support.virtual_hub import VirtualHub

BEFORE_TABLES = datetime(1500, 1, 1, tzinfo=timezone.utc)


def test_work_of_an_orchestration_whose_decisions_cannot_be_stored_is_not_done():
    def timing(context):
        work = context.call_activity("work", 1)
        yield context.task_all([work, context.create_timer(BEFORE_TABLES)])

    hub = VirtualHub({"timing": timing}, {"work": lambda value: value})

    async def main(hub):
        await hub.worker()
        state = await hub.end(await hub.start("timing"))
        await hub.sleep(120)
        return state

    state = hub.run(main)

    assert state.status is RuntimeStatus.Failed
    assert "1601" in state.output
    assert not hub.app.runs


def test_a_start_that_cannot_be_stored_leaves_no_message():
    hub = VirtualHub()

    async def main(hub):
        await hub.client.create_hub()
        with pytest.raises(PayloadError, match="1601"):
            await hub.start("order", scheduled_start=Utc.of(BEFORE_TABLES))
        return await hub.state()

    assert not any(hub.run(main).messages.values())
