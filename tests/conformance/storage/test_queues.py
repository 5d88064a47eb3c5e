from datetime import timedelta

import pytest

from taskhub.errors import MessageGone, QueueNotFound, StorageRefused
from taskhub.storage.port import MAX_INVISIBLE_SECONDS, MAX_MESSAGE_BYTES


async def take(subject, queue, *, limit=32, invisible_for=30):
    return await subject.queues.get(queue, limit=limit, invisible_for=invisible_for)


async def test_a_queue_is_created_once_and_deleted_once(subject):
    name = f"{subject.prefix}-q"

    assert await subject.queues.create_queue(name) is True
    assert await subject.queues.create_queue(name) is False
    assert await subject.queues.delete_queue(name) is True
    assert await subject.queues.delete_queue(name) is False


async def test_queues_are_listed_by_prefix_in_order(subject):
    for name in ("control-01", "control-00", "workitems"):
        await subject.a_queue(name)

    assert await subject.queues.list_queues(f"{subject.prefix}-control") == [
        f"{subject.prefix}-control-00",
        f"{subject.prefix}-control-01",
    ]
    assert await subject.queues.list_queues(f"{subject.prefix}-nothing") == []


@pytest.mark.parametrize(
    "call",
    [
        lambda queues, name: queues.put(name, "text"),
        lambda queues, name: queues.get(name, limit=1, invisible_for=1),
        lambda queues, name: queues.update(name, "id", "receipt", visible_after=0),
        lambda queues, name: queues.delete(name, "id", "receipt"),
        lambda queues, name: queues.count(name),
    ],
    ids=["put", "get", "update", "delete", "count"],
)
async def test_a_missing_queue_is_named_as_such(subject, call):
    with pytest.raises(QueueNotFound, match=f"{subject.prefix}-absent"):
        await call(subject.queues, f"{subject.prefix}-absent")


async def test_a_message_comes_back_as_it_was_put(subject):
    queue = await subject.a_queue()

    put = await subject.queues.put(queue, "hello")
    [message] = await take(subject, queue, invisible_for=30)

    assert (message.id, message.text, message.dequeue_count, message.expires) == (put.id, "hello", 1, None)
    assert message.inserted.utcoffset() == timedelta(0)
    assert timedelta(seconds=29) <= message.next_visible - message.inserted <= timedelta(seconds=32)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "  spaces at both ends  ",
        "line\nfeed and\ttab",
        """<a href="x">&amp; 'quotes' ]]></a>""",
        '{"$type":"T","Input":"\\"\\\\r\\\\n\\""}',
        "Größe 日本語 \U0001f600 \u2028\u2029\x85",
        "\ufeffbyte order mark",
        "\x7f\x80\x9f",
    ],
    ids=["empty", "blank", "spaces", "layout", "markup", "json", "unicode", "bom", "c1"],
)
async def test_any_text_that_xml_can_carry_survives(subject, text):
    queue = await subject.a_queue()

    await subject.queues.put(queue, text)
    [message] = await take(subject, queue)

    assert message.text == text


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\r", "\x1f", "\ud800", "\ufffe", "\uffff"])
async def test_a_text_that_xml_cannot_carry_is_refused_by_the_name_of_its_character(subject, bad):
    queue = await subject.a_queue()

    with pytest.raises(StorageRefused, match=rf"U\+{ord(bad):04X} \(at index 3\)"):
        await subject.queues.put(queue, f"abc{bad}def")

    assert await subject.queues.count(queue) == 0


@pytest.mark.parametrize("character", ["x", "é", "日", "\U0001f600"])
async def test_a_message_may_have_64_kib_of_utf8_and_not_a_byte_more(subject, character):
    queue = await subject.a_queue()
    largest = character * (MAX_MESSAGE_BYTES // len(character.encode()))
    largest += "x" * (MAX_MESSAGE_BYTES - len(largest.encode()))

    await subject.queues.put(queue, largest)
    with pytest.raises(StorageRefused, match="65536 bytes"):
        await subject.queues.put(queue, largest + "x")

    [message] = await take(subject, queue)
    assert message.text == largest


async def test_a_taken_message_is_hidden_and_then_comes_again_with_a_higher_count(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "x")
    [first] = await take(subject, queue, invisible_for=1)

    hidden = await take(subject, queue)
    await subject.pass_time(1.5)
    [second] = await take(subject, queue)

    assert hidden == []
    assert (first.id, first.dequeue_count) == (second.id, 1)
    assert second.dequeue_count == 2
    assert second.receipt != first.receipt


async def test_a_delayed_message_is_not_seen_before_its_time(subject):
    queue = await subject.a_queue()

    put = await subject.queues.put(queue, "later", visible_after=2)
    early = await take(subject, queue)
    await subject.pass_time(2.5)
    [message] = await take(subject, queue)

    assert early == []
    assert (message.id, message.dequeue_count) == (put.id, 1)


async def test_what_became_visible_first_is_taken_first(subject):
    queue = await subject.a_queue()
    for number in range(5):
        await subject.queues.put(queue, str(number))

    first = await take(subject, queue, limit=2)
    rest = await take(subject, queue, limit=32)

    assert [message.text for message in first] == ["0", "1"]
    assert [message.text for message in rest] == ["2", "3", "4"]


async def test_a_get_takes_at_most_its_limit(subject):
    queue = await subject.a_queue()
    for number in range(35):
        await subject.queues.put(queue, str(number))

    assert len(await take(subject, queue, limit=32)) == 32
    assert len(await take(subject, queue, limit=32)) == 3
    assert await take(subject, queue, limit=32) == []


async def test_a_put_receipt_deletes_a_hidden_message_that_nobody_read(subject):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "x", visible_after=60)

    await subject.queues.delete(queue, put.id, put.receipt)

    assert await subject.queues.count(queue) == 0


async def test_a_put_receipt_updates_a_hidden_message_that_nobody_read(subject):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "x", visible_after=60)

    updated = await subject.queues.update(queue, put.id, put.receipt, visible_after=0)
    [message] = await take(subject, queue)

    assert (updated.id, message.id, message.text, message.dequeue_count) == (put.id, put.id, "x", 1)


async def test_a_receipt_is_worth_nothing_once_somebody_else_reads_the_message(subject):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "x")
    await take(subject, queue)

    with pytest.raises(MessageGone):
        await subject.queues.delete(queue, put.id, put.receipt)
    with pytest.raises(MessageGone):
        await subject.queues.update(queue, put.id, put.receipt, visible_after=0)

    assert await subject.queues.count(queue) == 1


async def test_a_receipt_outlives_its_visibility_until_somebody_reads(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "x")
    [message] = await take(subject, queue, invisible_for=1)

    await subject.pass_time(1.5)
    await subject.queues.delete(queue, message.id, message.receipt)

    assert await subject.queues.count(queue) == 0


async def test_each_update_renews_the_receipt(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "x")
    [message] = await take(subject, queue)

    updated = await subject.queues.update(queue, message.id, message.receipt, visible_after=60)

    assert updated.receipt != message.receipt
    with pytest.raises(MessageGone):
        await subject.queues.update(queue, message.id, message.receipt, visible_after=60)
    await subject.queues.delete(queue, message.id, updated.receipt)


async def test_an_update_without_text_keeps_the_text_and_the_count(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "keep <me>")
    [message] = await take(subject, queue)

    await subject.queues.update(queue, message.id, message.receipt, visible_after=0)
    [again] = await take(subject, queue)

    assert (again.text, again.dequeue_count) == ("keep <me>", 2)


async def test_an_update_with_text_replaces_it(subject):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "old")

    await subject.queues.update(queue, put.id, put.receipt, visible_after=0, text="new & <better>")
    [message] = await take(subject, queue)

    assert message.text == "new & <better>"


async def test_an_update_can_empty_the_text(subject):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "old")

    await subject.queues.update(queue, put.id, put.receipt, visible_after=0, text="")
    [message] = await take(subject, queue)

    assert message.text == ""


async def test_a_deleted_message_is_gone(subject):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "x")
    await subject.queues.delete(queue, put.id, put.receipt)

    with pytest.raises(MessageGone):
        await subject.queues.delete(queue, put.id, put.receipt)
    with pytest.raises(MessageGone):
        await subject.queues.update(queue, put.id, put.receipt, visible_after=0)


async def test_a_message_is_looked_for_in_its_own_queue_only(subject):
    queue, other = await subject.a_queue("one"), await subject.a_queue("two")
    put = await subject.queues.put(queue, "x")

    with pytest.raises(MessageGone):
        await subject.queues.delete(other, put.id, put.receipt)

    assert await subject.queues.count(queue) == 1


async def test_message_ids_are_never_used_again(subject):
    queue = await subject.a_queue()
    seen = set()
    for _ in range(3):
        put = await subject.queues.put(queue, "x")
        seen.add(put.id)
        await subject.queues.delete(queue, put.id, put.receipt)

    assert len(seen) == 3


async def test_hidden_messages_count(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "hidden", visible_after=60)
    await subject.queues.put(queue, "visible")

    assert await subject.queues.count(queue) == 2


async def test_a_snapshot_shows_every_message_and_takes_none(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "later", visible_after=60)
    await subject.queues.put(queue, "now")
    await subject.queues.put(queue, "taken")
    taken = {message.text for message in await subject.queues.get(queue, limit=1, invisible_for=30)}

    stored = await subject.queues.snapshot(queue)

    if subject.kind == "azure":
        assert stored is None
        return
    assert [message.text for message in stored][2:] == ["later"]
    assert {message.text: message.dequeue_count for message in stored} == {
        text: int(text in taken) for text in ("later", "now", "taken")
    }
    assert [(message.next_visible - subject.clock.now()).total_seconds() for message in stored] == [0, 30, 60]
    assert len(await subject.queues.get(queue, limit=32, invisible_for=1)) == 1
    with pytest.raises(QueueNotFound):
        await subject.queues.snapshot(f"{subject.prefix}-absent")


async def test_a_queue_made_again_is_empty(subject):
    queue = await subject.a_queue()
    await subject.queues.put(queue, "x")

    await subject.queues.delete_queue(queue)
    await subject.queues.create_queue(queue)

    assert await take(subject, queue) == []


@pytest.mark.parametrize("seconds", [-1, MAX_INVISIBLE_SECONDS + 1])
async def test_a_delay_that_the_service_does_not_know_is_refused(subject, seconds):
    queue = await subject.a_queue()
    put = await subject.queues.put(queue, "x")

    with pytest.raises(StorageRefused, match=str(MAX_INVISIBLE_SECONDS)):
        await subject.queues.put(queue, "x", visible_after=seconds)
    with pytest.raises(StorageRefused, match=str(MAX_INVISIBLE_SECONDS)):
        await subject.queues.update(queue, put.id, put.receipt, visible_after=seconds)


async def test_the_longest_delay_is_seven_days(subject):
    queue = await subject.a_queue()

    put = await subject.queues.put(queue, "x", visible_after=MAX_INVISIBLE_SECONDS)

    assert await take(subject, queue) == []
    await subject.queues.delete(queue, put.id, put.receipt)


@pytest.mark.parametrize(("limit", "invisible_for"), [(0, 1), (33, 1), (1, 0), (1, MAX_INVISIBLE_SECONDS + 1)])
async def test_a_read_that_the_service_does_not_know_is_refused(subject, limit, invisible_for):
    queue = await subject.a_queue()

    with pytest.raises(StorageRefused):
        await take(subject, queue, limit=limit, invisible_for=invisible_for)
