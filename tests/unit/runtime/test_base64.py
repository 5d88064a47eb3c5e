"""Queue messages as base64, for hubs that workers of package 1.x share."""

import base64
import json

import pytest

from taskhub import TaskHubClient
from taskhub.model.instance import RuntimeStatus
from taskhub.settings import CLASSIC, TaskHubSettings
from taskhub.storage.counting import CallCounter
from taskhub.storage.interception import intercepted
from tests.support.virtual_hub import VirtualHub


def hello(context):
    return (yield context.call_activity("say", context.get_input()))


def noting(texts):
    """Return what lets a store note the texts that are put and rewritten."""

    async def around(call, act):
        if call.method in ("put", "update") and call.service == "queue":
            text = call.options.get("text") or (call.arguments[0] if call.method == "put" else None)
            if text is not None:
                texts.append((call.method, text))
        return await act()

    return lambda store: intercepted(store, around)


def is_base64(text):
    return not text.startswith("{") and json.loads(base64.b64decode(text, validate=True)) is not None


def play(*, client_base64, worker_base64, given="Tokyo"):
    """Run one instance; return its state and the texts that client and worker wrote."""
    hub = VirtualHub({"hello": hello}, {"say": lambda name: f"Hello {name}!"})
    sent, worked, counter = [], [], CallCounter()

    async def main(hub):
        process = hub.process("other client", wrap=noting(sent))
        settings = TaskHubSettings(hub_name=hub.settings.hub_name, base64_messages=client_base64)
        client = TaskHubClient(process.storage, settings, environment=process.environment)
        await client.start("hello", instance_id="i", input=json.dumps(json.dumps(given)))

        await hub.worker(
            base64_messages=worker_base64, **CLASSIC, wrap=lambda store: noting(worked)(counter.wrap(store))
        )
        state = await hub.end("i")
        await hub.sleep(1)
        return state, await hub.state()

    state, left = hub.run(main)
    assert not any(left.messages.values())
    return state, sent, worked, counter


@pytest.mark.parametrize("client_base64", [True, False])
@pytest.mark.parametrize("worker_base64", [True, False])
def test_both_encodings_are_read_and_the_configured_one_is_written(client_base64, worker_base64):
    state, sent, worked, _ = play(client_base64=client_base64, worker_base64=worker_base64)

    assert (state.status, state.output) == (RuntimeStatus.Completed, '"Hello Tokyo!"')
    assert [is_base64(text) for _, text in sent] == [client_base64]
    assert {is_base64(text) for method, text in worked if method == "put"} == {worker_base64}


def test_a_plain_message_is_rewritten_where_workers_may_read_nothing_but_base64():
    """As in golden/storage/base64_worker_reads_text, but for the second read."""
    _, sent, worked, counter = play(client_base64=False, worker_base64=True)

    ((_, plain),) = sent
    (rewritten,) = [text for method, text in worked if method == "update"]
    assert base64.b64decode(rewritten).decode() == plain
    assert counter.counts["queue.update_message control"] == 1
    assert counter.counts["queue.get full control"] == 2


def test_a_worker_that_writes_plain_text_rewrites_nothing():
    _, _, worked, _ = play(client_base64=True, worker_base64=False)

    assert [method for method, _ in worked] == ["put", "put"]


def test_a_large_message_is_a_blob_and_its_pointer_is_base64():
    state, sent, _, _ = play(client_base64=True, worker_base64=True, given="x" * 60_000)

    ((_, text),) = sent
    pointer = json.loads(base64.b64decode(text))
    assert pointer["CompressedBlobName"].endswith("-ExecutionStarted.json.gz")
    assert state.status is RuntimeStatus.Completed
