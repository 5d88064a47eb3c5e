"""What functions read from storage and write to it, on every store."""

import asyncio
import dataclasses
import io
import json
import logging
import re
import threading
from datetime import datetime, timezone

import azure.functions as func
import pytest
from azure.functions.meta import Datum

from taskhub.errors import TransientStorageError
from taskhub.host.functions import RetryPolicy
from taskhub.host.invoker import InvocationFailed
from taskhub.host.triggers.queue_texts import encode_text
from taskhub.host.triggers.runs import Runs
from taskhub.runtime.clock import SystemClock
from taskhub.storage.interception import intercepted
from taskhub.storage.memory import open_memory
from tests.support.trigger_hosts import AppOnStorage


def in_memory():
    return open_memory(now=lambda: datetime.now(timezone.utc))


@pytest.fixture
async def app(any_storage):
    made = AppOnStorage(any_storage)
    yield made
    await made.aclose()


@pytest.fixture
async def quick():
    """An app on the memory store, for what does not depend on the store."""
    made = AppOnStorage(in_memory())
    yield made
    await made.aclose()


def queue_out(app, name="$return", queue="out"):
    return {"name": name, "type": "queue", "direction": "out", "queueName": f"{app.prefix}-{queue}"}


def blob(app, name, path, direction="in"):
    return {"name": name, "type": "blob", "direction": direction, "path": f"{app.prefix}/{path}"}


async def put_blob(app, name, content):
    await app.storage.blobs.create_container(app.prefix)
    await app.storage.blobs.put_blob(app.prefix, name, content)


# ---- queues


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("one", ["one"]),
        ("é €", ["é €"]),
        (b"\xff\x00", [b"\xff\x00"]),
        (["one", "two"], ["one", "two"]),
        (func.QueueMessage(body="body"), ["body"]),
        ([func.QueueMessage(body="first"), "second"], ["first", "second"]),
    ],
)
async def test_what_a_function_returns_is_sent_to_a_queue_that_is_made_for_it(app, value, expected):
    await app.call(lambda message: value, queue_out(app))

    assert await app.messages(f"{app.prefix}-out") == expected


async def test_output_parameters_send_what_they_were_set_to(quick):
    def f(message: str, first: func.Out[str], second: func.Out[list[str]], never: func.Out[str]):
        first.set(message)
        second.set(["a", "b"])

    outs = [queue_out(quick, name, name) for name in ("first", "second", "never")]
    await quick.call(f, *outs, trigger="given")

    assert await quick.messages(f"{quick.prefix}-first") == ["given"]
    assert await quick.messages(f"{quick.prefix}-second") == ["a", "b"]
    assert await quick.storage.queues.list_queues(f"{quick.prefix}-never") == []


async def test_a_function_that_returns_nothing_sends_nothing(quick):
    outcome = await quick.call(lambda message: None, queue_out(quick))

    assert outcome.result is None
    assert await quick.storage.queues.list_queues(quick.prefix) == []


async def test_coroutine_functions_have_bindings_too(quick):
    async def f(message):
        await asyncio.sleep(0)
        return "from a coroutine"

    await quick.call(f, queue_out(quick))

    assert await quick.messages(f"{quick.prefix}-out") == ["from a coroutine"]


async def test_messages_are_stored_as_they_are_where_no_encoding_is_configured():
    app = AppOnStorage(in_memory(), is_base64=False)

    await app.call(lambda message: "plain", queue_out(app))

    (message,) = await app.storage.queues.get(f"{app.prefix}-out", limit=1, invisible_for=1)
    assert message.text == "plain"
    await app.aclose()


async def test_the_name_of_a_queue_may_come_from_the_message(quick):
    binding = {"name": "$return", "type": "queue", "direction": "out", "queueName": f"{quick.prefix}-{{Kind}}"}

    await quick.call(lambda message: "x", binding, trigger='{"kind": "Big"}')

    assert await quick.messages(f"{quick.prefix}-big") == ["x"]


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        ('{"kind": "no name!"}', "'x-no name!' is no name of a queue"),
        ("{}", "No value for named parameter 'kind'"),
        ("text", "No value for named parameter 'kind'"),
    ],
)
async def test_an_output_that_goes_nowhere_fails_the_function(quick, trigger, reason):
    binding = {"name": "$return", "type": "queue", "direction": "out", "queueName": "x-{kind}"}

    with pytest.raises(InvocationFailed) as caught:
        await quick.call(lambda message: "x", binding, trigger=trigger)

    assert caught.value.message.startswith("Error while handling parameter '$return' after function returned: ")
    assert reason in caught.value.message
    assert "(Failed, Id=" in quick.output.getvalue()


async def test_a_message_that_is_too_large_fails_the_function(quick):
    with pytest.raises(InvocationFailed, match="65536 bytes"):
        await quick.call(lambda message: "x" * 60_000, queue_out(quick))


# ---- blobs


async def test_a_blob_is_read_in_the_form_that_the_parameter_asks_for(app):
    await put_blob(app, "in.txt", "héllo".encode())
    seen = []

    def f(message, stream: func.InputStream, text: str, data: bytes, plain):
        seen.extend([stream.read(), text, data, plain.read()])

    await app.call(f, *(blob(app, name, "in.txt") for name in ("stream", "text", "data", "plain")))

    content = "héllo".encode()
    assert seen == [content, "héllo", content, content]


async def test_json_in_a_blob_or_message_can_be_asked_for_as_a_dictionary(quick):
    await put_blob(quick, "in.json", b'{"a": [1]}')
    seen = []

    def f(message: dict, settings: dict):
        seen.extend([message, settings])

    await quick.call(f, blob(quick, "settings", "in.json"), trigger='{"b": 2}')

    assert seen == [{"b": 2}, {"a": [1]}]


async def test_a_message_is_given_in_the_form_that_the_parameter_asks_for(quick):
    seen = []

    def text(message: str):
        seen.append(message)

    def data(message: bytes):
        seen.append(message)

    def whole(message: func.QueueMessage):
        seen.append((message.get_body(), message.id))

    for function in (text, data, whole):
        await quick.call(function, trigger="é")
        await quick.call(function, trigger=b"\xc3\xa9")

    assert seen == ["é", "é", "é".encode(), "é".encode(), ("é".encode(), "17"), ("é".encode(), "17")]


async def test_a_blob_that_is_not_there_is_none(app):
    seen = []

    def f(message, stream: func.InputStream, text: str):
        seen.extend([stream, text])

    await app.call(f, blob(app, "stream", "none"), blob(app, "text", "none"))

    assert seen == [None, None]


async def test_a_blob_is_written_over_into_a_container_that_is_made_for_it(app):
    def one(message, out: func.Out[str]):
        out.set("first")

    def two(message, out: func.Out[bytes]):
        out.set(b"second")

    def three(message, out):
        out.set(io.BytesIO(b"third, of a file"))

    contents = []
    for function in (one, two, three):
        await app.call(function, blob(app, "out", "a/out.txt", "out"))
        contents.append(await app.storage.blobs.get_blob(app.prefix, "a/out.txt"))

    assert contents == [b"first", b"second", b"third, of a file"]


async def test_paths_take_their_values_from_the_message_and_from_nowhere(quick):
    await put_blob(quick, "orders/7.json", b"seven")
    path = "{customer.name}/{queueTrigger}-{rand-guid}-{DateTime}.txt"

    await quick.call(
        lambda message, order: order.read(),
        blob(quick, "order", "orders/{id}.json"),
        blob(quick, "$return", path, "out"),
        trigger='{"id": 7, "customer": {"name": "Ada"}}',
        values={"queueTrigger": "q"},
    )

    (item,) = await quick.storage.blobs.list_blobs(quick.prefix, "Ada/")
    assert re.fullmatch(r"Ada/q-[0-9a-f-]{36}-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.txt", item.name)
    assert await quick.storage.blobs.get_blob(quick.prefix, item.name) == b"seven"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("orders/{number}.json", "Error while reading binding 'order': No value for named parameter 'number'"),
        ("{rand-guid:X}", "'X' is no format of a guid"),
    ],
)
async def test_an_input_without_a_path_fails_the_function_before_it_runs(quick, path, reason):
    with pytest.raises(InvocationFailed) as caught:
        await quick.call(lambda message, order: pytest.fail("ran"), blob(quick, "order", path))

    assert reason in caught.value.message


# ---- storage in trouble


@pytest.mark.parametrize(("failures", "is_failed"), [(2, False), (99, True)])
async def test_a_storage_that_does_not_answer_is_asked_again_before_the_function_fails(failures, is_failed):
    left = {"failures": failures}

    async def around(call, act):
        if call.method == "put_blob" and left["failures"]:
            left["failures"] -= 1
            raise TransientStorageError("throttled")
        return await act()

    app = AppOnStorage(intercepted(in_memory(), around))

    def f(message, out):
        out.set("x")

    if is_failed:
        with pytest.raises(InvocationFailed, match="throttled"):
            await app.call(f, blob(app, "out", "x", "out"))
    else:
        await app.call(f, blob(app, "out", "x", "out"))
    await app.aclose()


# ---- retries


async def test_a_timer_function_is_run_again_as_its_policy_says(quick):
    seen = []

    def f(timer, context: func.Context):
        retry = context.retry_context
        seen.append((retry.retry_count, retry.max_retry_count, getattr(retry.exception, "message", None)))
        if len(seen) < 3:
            raise ValueError(f"attempt {len(seen)}")

    plan = quick.plan(
        f, {"name": "timer", "type": "timerTrigger", "schedule": "0 0 0 * * *"}, retry=RetryPolicy(4, 0.01, 0.02)
    )
    runs = Runs(quick.invoker, lambda properties: "{}", SystemClock())

    succeeded = await runs.run_with_retries(plan, Datum("{}", "json"), reason="test")

    assert succeeded
    assert seen == [(0, 4, None), (1, 4, "ValueError: attempt 1"), (2, 4, "ValueError: attempt 2")]


@pytest.mark.parametrize(("policy", "attempts"), [(None, 1), (RetryPolicy(2, 0.0, 0.0), 3)])
async def test_attempts_come_to_an_end(quick, policy, attempts):
    seen = []

    def f(timer):
        seen.append(1)
        raise ValueError("never")

    plan = quick.plan(f, {"name": "timer", "type": "timerTrigger", "schedule": "0 0 0 * * *"}, retry=policy)

    assert not await Runs(quick.invoker, lambda _: "{}", SystemClock()).run_with_retries(
        plan, Datum("{}", "json"), reason="test"
    )
    assert len(seen) == attempts


# ---- everything together


async def reached(condition, *, seconds=20.0):
    """Look until a condition holds; fail when it does not for long."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := await condition()):
        assert asyncio.get_running_loop().time() < deadline, "it did not come to that"
        await asyncio.sleep(0.02)
    return found


async def test_a_message_becomes_a_blob_and_the_blob_a_message_on_every_store(app):
    prefix = app.prefix

    def write(order: func.QueueMessage, out: func.Out[str]):
        if order.get_json()["id"] == "bad":
            raise ValueError("bad order")
        out.set(json.dumps({"of": order.get_json()["id"], "attempt": order.dequeue_count}))

    def ship(blob: func.InputStream) -> str:
        return f"{blob.name} {blob.length} {blob.uri.rpartition('/')[2]} {blob.read().decode()}"

    plans = [
        app.plan(
            write,
            {"name": "order", "type": "queueTrigger", "queueName": f"{prefix}-orders"},
            {"name": "out", "type": "blob", "direction": "out", "path": f"{prefix}/{{id}}.json"},
        ),
        app.plan(
            ship,
            {"name": "blob", "type": "blobTrigger", "path": f"{prefix}/{{name}}.json"},
            queue_out(app, queue="shipped"),
        ),
    ]
    queues = app.storage.queues
    await queues.create_queue(f"{prefix}-orders")
    async with app.listening(*plans):
        for id_ in ("7", "bad"):
            await queues.put(f"{prefix}-orders", encode_text(json.dumps({"id": id_}), is_base64=True))

        async def shipped():
            names = await queues.list_queues(f"{prefix}-shipped")
            return await app.messages(f"{prefix}-shipped") if names else []

        async def laid_aside():
            return await queues.list_queues(f"{prefix}-orders-poison")

        (text,) = await reached(shipped)
        await reached(laid_aside)

    assert text == f'{prefix}/7.json 25 7.json {{"of": "7", "attempt": 1}}'
    assert await app.messages(f"{prefix}-orders-poison") == ['{"id": "bad"}']
    assert await queues.count(f"{prefix}-orders") == 0
    assert "Reason='New queue message detected on" in app.output.getvalue()


async def test_a_host_that_stops_gives_its_leases_back(app):
    plan = app.plan(
        lambda timer: None, {"name": "timer", "type": "timerTrigger", "schedule": "0 0 0 1 1 *"}, name="tick"
    )
    lock = f"locks/{app.prefix}/Host.Functions.tick.Listener"
    blobs = app.storage.blobs

    async def is_leased():
        item = await blobs.blob_item("azure-webjobs-hosts", lock)
        return item is not None and (await blobs.lease_state("azure-webjobs-hosts", lock)).leased

    async with app.listening(plan):
        await reached(is_leased)

    assert not await is_leased()


async def test_a_connection_that_makes_no_sense_costs_its_own_functions_only(caplog):
    app = AppOnStorage(in_memory(), settings={"Other": "nonsense"})
    seen = []

    def good(message: str):
        seen.append(message)

    trigger = {"name": "message", "type": "queueTrigger"}
    plans = [
        app.plan(lambda message: None, {**trigger, "queueName": "other-queue", "connection": "Other"}, name="bad"),
        app.plan(good, {**trigger, "queueName": "good-queue"}),
    ]
    await app.storage.queues.create_queue("good-queue")
    await app.storage.queues.put("good-queue", encode_text("hello", is_base64=True))

    async def has_run():
        return seen

    with caplog.at_level(logging.ERROR):
        async with app.listening(*plans):
            await reached(has_run)
    await app.aclose()

    assert seen == ["hello"]
    assert "The listener for function 'Functions.bad' was unable to start." in caplog.text


async def test_functions_that_are_disabled_are_not_listened_for(quick):
    plan = quick.plan(lambda message: None, {"name": "message", "type": "queueTrigger", "queueName": "some-queue"})
    off = dataclasses.replace(plan, function=dataclasses.replace(plan.function, is_disabled=True))

    async with quick.listening(off) as listeners:
        assert len(listeners) == 0

    assert await quick.storage.queues.list_queues("") == []


async def test_a_function_that_outlives_the_grace_period_gives_its_message_back(quick):
    release, began = threading.Event(), threading.Event()

    def slow(message: str):
        began.set()
        release.wait()

    plan = quick.plan(slow, {"name": "message", "type": "queueTrigger", "queueName": "slow-queue"})
    await quick.storage.queues.create_queue("slow-queue")
    await quick.storage.queues.put("slow-queue", encode_text("hello", is_base64=True))

    async with quick.listening(plan, grace_seconds=0.05):
        await asyncio.to_thread(began.wait)

    assert await quick.messages("slow-queue") == ["hello"]
    release.set()


# ---- by hand


async def test_functions_can_be_run_by_hand(quick):
    await put_blob(quick, "a.txt", b"content")
    seen = []

    def timer(timer: func.TimerRequest):
        seen.append(timer.past_due)

    def message(message: func.QueueMessage):
        seen.append(message.get_body())

    def read(blob: func.InputStream):
        seen.append((blob.name, blob.read()))

    plans = [
        quick.plan(timer, {"name": "timer", "type": "timerTrigger", "schedule": "0 0 0 * * *"}),
        quick.plan(message, {"name": "message", "type": "queueTrigger", "queueName": "some-queue"}),
        quick.plan(read, {"name": "blob", "type": "blobTrigger", "path": f"{quick.prefix}/{{name}}.txt"}),
    ]
    async with quick.listening() as listeners:
        for plan, text in zip(plans, ("", "by hand", f"{quick.prefix}/a.txt"), strict=True):
            await listeners.by_hand[plan.function.trigger.kind](plan, text)

    assert seen == [False, b"by hand", (f"{quick.prefix}/a.txt", b"content")]
