import asyncio
import re
import uuid

import pytest

from taskhub.errors import BlobExists, BlobNotFound, LeaseHeld, StorageRefused

MINE = "3f753f26-0000-0000-0000-000000000000"
THEIRS = "828293a6-0000-0000-0000-000000000000"


# ---- containers and blobs


async def test_a_container_is_created_once_and_deleted_once(subject):
    name = f"{subject.prefix}-c"

    assert await subject.blobs.container_exists(name) is False
    assert await subject.blobs.create_container(name) is True
    assert await subject.blobs.create_container(name) is False
    assert await subject.blobs.container_exists(name) is True
    assert await subject.blobs.delete_container(name) is True
    assert await subject.blobs.delete_container(name) is False


@pytest.mark.parametrize(
    "call",
    [
        lambda blobs, name: blobs.put_blob(name, "b", b""),
        lambda blobs, name: blobs.get_blob(name, "b"),
        lambda blobs, name: blobs.lease_state(name),
        lambda blobs, name: blobs.lease_state(name, "b"),
        lambda blobs, name: blobs.acquire_lease(name, None, lease_id=MINE, seconds=15),
        lambda blobs, name: blobs.acquire_lease(name, "b", lease_id=MINE, seconds=15),
        lambda blobs, name: blobs.renew_lease(name, None, lease_id=MINE),
        lambda blobs, name: blobs.renew_lease(name, "b", lease_id=MINE),
        lambda blobs, name: blobs.change_lease(name, None, lease_id=MINE, new_lease_id=THEIRS),
        lambda blobs, name: blobs.release_lease(name, "b", lease_id=MINE),
    ],
    ids=range(10),
)
async def test_a_missing_container_or_blob_is_named_as_such(subject, call):
    with pytest.raises(BlobNotFound):
        await call(subject.blobs, f"{subject.prefix}-absent")


async def test_what_reads_or_deletes_tolerates_a_missing_container(subject):
    name = f"{subject.prefix}-absent"

    assert await subject.blobs.delete_blob(name, "b") is False
    assert await subject.blobs.list_blobs(name, "") == []


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x1f\x8b\x08" + bytes(range(256)), b"x" * 3_000_000])
async def test_a_blob_comes_back_as_it_was_put(subject, data):
    container = await subject.a_container()

    etag = await subject.blobs.put_blob(container, "folder/b", data)

    assert await subject.blobs.get_blob(container, "folder/b") == data
    state = await subject.blobs.lease_state(container, "folder/b")
    assert (state.leased, state.etag) == (False, etag)


@pytest.mark.parametrize(
    "name",
    [
        "a/b/c.json.gz",
        "with space",
        "100%",
        "%41",
        "a+b&c=d",
        "it's",
        "q?x#y",
        "@counter@k/message-0-TaskCompleted.json.gz",
        "Größe/日本語",
        "\U0001f600",
        "^0a\\b",
        "a:b;c,d(e)[f]{g}~!$*",
    ],
)
async def test_a_blob_may_have_any_name(subject, name):
    container = await subject.a_container()

    await subject.blobs.put_blob(container, name, b"data")

    assert await subject.blobs.get_blob(container, name) == b"data"
    if subject.kind != "azure" or "\\" not in name:  # the service takes a backslash for a slash
        assert [item.name for item in await subject.blobs.list_blobs(container, "")] == [name]
    assert await subject.blobs.delete_blob(container, name) is True
    assert await subject.blobs.delete_blob(container, name) is False


async def test_a_second_put_replaces_the_blob_and_its_etag(subject):
    container = await subject.a_container()

    first = await subject.blobs.put_blob(container, "b", b"1")
    second = await subject.blobs.put_blob(container, "b", b"2")

    assert first != second
    assert await subject.blobs.get_blob(container, "b") == b"2"


async def test_a_put_without_overwriting_refuses_a_blob_that_exists(subject):
    container = await subject.a_container()
    await subject.blobs.put_blob(container, "b", b"1", overwrite=False)

    with pytest.raises(BlobExists):
        await subject.blobs.put_blob(container, "b", b"2", overwrite=False)

    assert await subject.blobs.get_blob(container, "b") == b"1"


async def test_of_several_puts_without_overwriting_one_wins(subject):
    container = await subject.a_container()

    outcomes = await asyncio.gather(
        *(subject.blobs.put_blob(container, "b", b"%d" % number, overwrite=False) for number in range(5)),
        return_exceptions=True,
    )

    won = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, str)]
    assert len(won) == 1
    assert await subject.blobs.get_blob(container, "b") == b"%d" % won[0]


async def test_blobs_are_listed_by_prefix_in_order_with_their_sizes(subject):
    container = await subject.a_container()
    for name in ("order-42/b", "order-4/a", "order-42/a", "other"):
        await subject.blobs.put_blob(container, name, name.encode())

    found = await subject.blobs.list_blobs(container, "order-42/")

    assert [(item.name, item.size, item.metadata) for item in found] == [("order-42/a", 10, {}), ("order-42/b", 10, {})]
    assert [item.name for item in await subject.blobs.list_blobs(container, "order-4")] == [
        "order-4/a",
        "order-42/a",
        "order-42/b",
    ]
    assert len(await subject.blobs.list_blobs(container, "")) == 4


async def test_a_listing_and_a_look_at_one_blob_tell_the_etag_of_its_last_write(subject):
    container = await subject.a_container()
    await subject.blobs.put_blob(container, "a/b c", b"1")
    etag = await subject.blobs.put_blob(container, "a/b c", b"two")

    item = await subject.blobs.blob_item(container, "a/b c")

    assert (item.name, item.size, item.etag, item.metadata) == ("a/b c", 3, etag, {})
    assert await subject.blobs.list_blobs(container, "") == [item]
    assert await subject.blobs.blob_item(container, "a/b") is None
    assert await subject.blobs.blob_item(container + "-none", "a/b c") is None


async def test_a_container_made_again_is_empty(subject):
    container = await subject.a_container()
    await subject.blobs.put_blob(container, "b", b"1")

    await subject.blobs.delete_container(container)
    await subject.blobs.create_container(container)

    assert await subject.blobs.list_blobs(container, "") == []


async def test_a_url_is_absolute_and_its_path_is_escaped(subject):
    url = subject.blobs.url_of("hub-largemessages", "a b/message-0c'é?#%.json.gz")

    assert re.fullmatch(r"https?://\S+/hub-largemessages/a%20b/message-0c%27%C3%A9%3F%23%25\.json\.gz", url)


# ---- leases, on a blob and on a container


@pytest.fixture(params=["blob", "container"])
async def leased(request, subject):
    """Container and name of something that can be leased."""
    container = await subject.a_container()
    if request.param == "container":
        return container, None
    await subject.blobs.put_blob(container, "b", b"{}")
    return container, "b"


async def test_a_lease_is_seen_while_it_lasts(subject, leased):
    before = await subject.blobs.lease_state(*leased)
    await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=15)
    held = await subject.blobs.lease_state(*leased)
    await subject.blobs.release_lease(*leased, lease_id=MINE)
    after = await subject.blobs.lease_state(*leased)

    assert [before.leased, held.leased, after.leased] == [False, True, False]
    assert before.etag == held.etag == after.etag


async def test_nobody_else_gets_a_held_lease(subject, leased):
    await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=15)

    with pytest.raises(LeaseHeld):
        await subject.blobs.acquire_lease(*leased, lease_id=THEIRS, seconds=15)
    with pytest.raises(LeaseHeld):
        await subject.blobs.renew_lease(*leased, lease_id=THEIRS)
    with pytest.raises(LeaseHeld):
        await subject.blobs.release_lease(*leased, lease_id=THEIRS)
    with pytest.raises(LeaseHeld):
        await subject.blobs.change_lease(*leased, lease_id=THEIRS, new_lease_id=str(uuid.uuid4()))

    await subject.blobs.renew_lease(*leased, lease_id=MINE)


async def test_a_holder_may_acquire_again(subject, leased):
    await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=15)
    await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=60)

    assert (await subject.blobs.lease_state(*leased)).leased


async def test_a_lease_id_is_a_guid_in_any_case(subject, leased):
    await subject.blobs.acquire_lease(*leased, lease_id=MINE.upper(), seconds=15)

    await subject.blobs.renew_lease(*leased, lease_id=MINE)
    with pytest.raises(StorageRefused):
        await subject.blobs.acquire_lease(*leased, lease_id="worker-1", seconds=15)


@pytest.mark.parametrize("seconds", [0, 14, 61, 300])
async def test_a_lease_lasts_15_to_60_seconds(subject, leased, seconds):
    with pytest.raises(StorageRefused, match="15 to 60"):
        await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=seconds)


async def test_a_free_lease_cannot_be_renewed_changed_or_released(subject, leased):
    with pytest.raises(LeaseHeld):
        await subject.blobs.renew_lease(*leased, lease_id=MINE)
    with pytest.raises(LeaseHeld):
        await subject.blobs.change_lease(*leased, lease_id=MINE, new_lease_id=THEIRS)
    with pytest.raises(LeaseHeld):
        await subject.blobs.release_lease(*leased, lease_id=MINE)


async def test_a_released_lease_cannot_be_renewed(subject, leased):
    await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=15)
    await subject.blobs.release_lease(*leased, lease_id=MINE)

    with pytest.raises(LeaseHeld):
        await subject.blobs.renew_lease(*leased, lease_id=MINE)

    await subject.blobs.acquire_lease(*leased, lease_id=THEIRS, seconds=15)


async def test_a_lease_handed_over_is_the_new_holders(subject, leased):
    await subject.blobs.acquire_lease(*leased, lease_id=MINE, seconds=15)

    await subject.blobs.change_lease(*leased, lease_id=MINE, new_lease_id=THEIRS)
    await subject.blobs.change_lease(*leased, lease_id=MINE, new_lease_id=THEIRS)

    with pytest.raises(LeaseHeld):
        await subject.blobs.renew_lease(*leased, lease_id=MINE)
    await subject.blobs.renew_lease(*leased, lease_id=THEIRS)


async def test_a_lease_ends_by_itself_and_its_holder_may_renew_it_while_nobody_took_it(subject):
    """One test, because with the emulator it takes the time that it tells of."""
    container = await subject.a_container()
    for name in ("renewed", "taken", "written", "expired", "released", "acquired again"):
        await subject.blobs.put_blob(container, name, b"{}")
        await subject.blobs.acquire_lease(container, name, lease_id=MINE, seconds=15)
    await subject.pass_time(10)
    await subject.blobs.acquire_lease(container, "acquired again", lease_id=MINE, seconds=15)
    await subject.pass_time(6)

    states = [(await subject.blobs.lease_state(container, name)).leased for name in ("expired", "acquired again")]
    with pytest.raises(LeaseHeld):
        await subject.blobs.change_lease(container, "expired", lease_id=MINE, new_lease_id=THEIRS)
    with pytest.raises(LeaseHeld):
        await subject.blobs.put_blob(container, "expired", b"late", lease_id=MINE)
    await subject.blobs.put_blob(container, "written", b"by somebody else")
    await subject.blobs.acquire_lease(container, "taken", lease_id=THEIRS, seconds=15)

    assert states == [False, True]
    await subject.blobs.renew_lease(container, "renewed", lease_id=MINE)
    await subject.blobs.release_lease(container, "released", lease_id=MINE)
    with pytest.raises(LeaseHeld):
        await subject.blobs.renew_lease(container, "taken", lease_id=MINE)
    with pytest.raises(LeaseHeld):
        await subject.blobs.renew_lease(container, "written", lease_id=MINE)
    assert (await subject.blobs.lease_state(container, "renewed")).leased


async def test_a_leased_blob_is_written_only_under_its_lease(subject):
    container = await subject.a_container()
    await subject.blobs.put_blob(container, "b", b"1")
    await subject.blobs.acquire_lease(container, "b", lease_id=MINE, seconds=15)

    for lease_id in (None, THEIRS):
        with pytest.raises(LeaseHeld):
            await subject.blobs.put_blob(container, "b", b"2", lease_id=lease_id)
    with pytest.raises(LeaseHeld):
        await subject.blobs.delete_blob(container, "b")
    await subject.blobs.put_blob(container, "b", b"3", lease_id=MINE)

    assert await subject.blobs.get_blob(container, "b") == b"3"
    assert (await subject.blobs.lease_state(container, "b")).leased


async def test_a_put_under_a_lease_that_nobody_holds_is_refused(subject):
    container = await subject.a_container()
    await subject.blobs.put_blob(container, "b", b"1")

    with pytest.raises(LeaseHeld):
        await subject.blobs.put_blob(container, "b", b"2", lease_id=MINE)

    assert await subject.blobs.get_blob(container, "b") == b"1"


async def test_a_leased_container_is_deleted_only_under_its_lease_but_its_blobs_are_free(subject):
    container = await subject.a_container()
    await subject.blobs.acquire_lease(container, None, lease_id=MINE, seconds=15)

    await subject.blobs.put_blob(container, "b", b"1")
    for lease_id in (None, THEIRS):
        with pytest.raises(LeaseHeld):
            await subject.blobs.delete_container(container, lease_id=lease_id)

    assert await subject.blobs.delete_container(container, lease_id=MINE) is True
