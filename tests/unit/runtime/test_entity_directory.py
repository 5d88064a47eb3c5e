import pytest

from taskhub.errors import PayloadError
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId, Utc
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub


def thing(context):
    if context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        context.set_state(context.get_input())


def play(main, **settings):
    hub = VirtualHub(app=PlainApplication({}, entities={"thing": thing, "other": thing}), **settings)

    async def run(hub):
        running = await hub.worker()
        hub.client = running.worker.client
        return await main(hub)

    return hub.run(run)


async def make(hub, *ids):
    for name, key in ids:
        await hub.client.signal_entity(EntityId(name, key), "set", f'"{key}"')
        await hub.sleep(2)


def keys(page):
    return [f"{each.id.name}/{each.id.key}" for each in page.entities]


THREE = (("other", "x"), ("thing", "a"), ("thing", "b"))


def test_entities_are_listed_in_order_by_name_and_with_their_states():
    async def main(hub):
        await make(hub, *THREE)
        list_entities = hub.client.list_entities
        return await list_entities(), await list_entities("THING"), await list_entities("thing", with_state=True)

    everything, things, states = play(main)

    assert keys(everything) == ["other/x", "thing/a", "thing/b"]
    assert keys(things) == ["thing/a", "thing/b"]
    assert [each.state for each in things.entities] == [None, None]
    assert [each.state for each in states.entities] == ['"a"', '"b"']


def test_a_list_can_be_read_in_pages():
    async def main(hub):
        await make(hub, *THREE)
        pages, token = [], None
        while True:
            page = await hub.client.list_entities(top=2, token=token)
            pages.append(keys(page))
            token = page.token
            if token is None:
                return pages

    assert play(main) == [["other/x", "thing/a"], ["thing/b"]]


def test_a_list_is_filtered_by_the_time_of_the_last_batch():
    async def main(hub):
        await make(hub, ("thing", "a"))
        between = Utc.of(hub.clock.now())
        await make(hub, ("thing", "b"))
        list_entities = hub.client.list_entities
        return await list_entities(operated_from=between), await list_entities(operated_to=between)

    later, earlier = play(main)

    assert (keys(later), keys(earlier)) == (["thing/b"], ["thing/a"])


@pytest.mark.parametrize("with_state", [True, False])
def test_deleted_entities_are_neither_listed_nor_read(with_state):
    async def main(hub):
        await make(hub, *THREE)
        await hub.client.signal_entity(EntityId("thing", "a"), "delete")
        await hub.sleep(2)
        page = await hub.client.list_entities(with_state=with_state)
        return page, await hub.client.read_entity(EntityId("thing", "a")), await hub.state()

    page, entity, stored = play(main)

    assert keys(page) == ["other/x", "thing/b"]
    assert entity is None
    assert len(stored.instances) == 3


def test_pages_of_deleted_entities_are_gone_over():
    async def main(hub):
        await make(hub, ("thing", "a"), ("thing", "b"), ("thing", "c"))
        for key in "ab":
            await hub.client.signal_entity(EntityId("thing", key), "delete")
            await hub.sleep(2)
        return await hub.client.list_entities(top=1)

    assert keys(play(main)) == ["thing/c"]


# ---- cleaning up


async def deleted(hub, key="a", *, ago):
    await make(hub, ("thing", key))
    await hub.client.signal_entity(EntityId("thing", key), "delete")
    await hub.sleep(ago)


def test_what_an_entity_leaves_behind_is_removed_when_no_message_can_come_late():
    async def main(hub):
        await make(hub, ("other", "x"))
        await deleted(hub, ago=1700)
        early = await hub.client.clean_entities()
        await hub.sleep(200)
        cleaned = await hub.client.clean_entities()
        return early, cleaned, await hub.state()

    early, cleaned, left = play(main)

    assert (early.removed, cleaned.removed, cleaned.token) == (0, 1, None)
    assert [row.partition_key for row in left.instances] == ["@other@x"]
    assert {row.partition_key for row in left.history} == {"@other@x"}


def test_removing_can_be_left_out():
    async def main(hub):
        await deleted(hub, ago=3000)
        return await hub.client.clean_entities(remove_empty=False)

    assert play(main).removed == 0


def test_an_entity_that_hears_something_while_it_is_removed_stays():
    async def main(hub):
        await deleted(hub, ago=3000)

        load = hub.client._services.history.load

        async def slow(instance_id, *more):
            stored = await load(instance_id, *more)
            await make(hub, ("thing", "a"))
            return stored

        object.__setattr__(hub.client._services.history, "load", slow)
        cleaned = await hub.client.clean_entities()
        object.__setattr__(hub.client._services.history, "load", load)
        return cleaned, await hub.client.read_entity(EntityId("thing", "a"))

    cleaned, entity = play(main)

    assert (cleaned.removed, entity.state) == (0, '"a"')


def test_a_removal_that_broke_off_is_finished_later():
    async def main(hub):
        await deleted(hub, ago=3000)
        await hub.client._services.history.delete(InstanceId("@thing@a"))
        cleaned = await hub.client.clean_entities()
        return cleaned, await hub.state()

    cleaned, left = play(main)

    assert (cleaned.removed, left.instances, left.history) == (1, [], [])


# ---- what clients may not do


def test_an_orchestration_cannot_be_started_under_the_id_of_an_entity():
    async def main(hub):
        with pytest.raises(PayloadError, match="begins with @"):
            await hub.client.start("anything", instance_id=InstanceId("@thing@a"))

    play(main)


def test_a_key_that_no_table_can_hold_is_refused():
    async def main(hub):
        with pytest.raises(PayloadError, match="may have 512 characters"):
            await hub.client.signal_entity(EntityId("thing", "k" * 510), "set")

    play(main)


def test_the_hub_is_created_for_a_client_that_only_signals():
    async def main(hub):
        await hub.client.signal_entity(EntityId("thing", "a"), "set", '"a"')
        before = await hub.client.read_entity(EntityId("thing", "a"))
        await hub.worker()
        await hub.sleep(5)
        return before, await hub.client.read_entity(EntityId("thing", "a"))

    before, after = VirtualHub(app=PlainApplication({}, entities={"thing": thing})).run(main)

    assert (before, after.state) == (None, '"a"')
