"""Hints between processes: over real sockets, with notes in a folder of the test."""

import asyncio
import contextlib
import json
import os
import socket
import stat
import sys
import time

import pytest

from taskhub import hints
from taskhub.errors import ConfigurationError
from taskhub.hints import HintListener, HintSender, Peer, PeerSettings

PLACE, HUB = "embedded store /app/.taskhub/hub.db", "TestHubName"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "notes"


async def heard(woken, count=1):
    """Wait until so many hints have come, for at most five seconds; then a moment for any more."""
    for _ in range(500):
        if len(woken) >= count:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    return woken


@pytest.fixture
async def listening(folder):
    """Start a listener, which is stopped after the test."""
    listeners = []

    async def start(woken, *, place=PLACE, hub=HUB, folder=folder, remote=None):
        listener = HintListener(place, hub, lambda *hint: woken.append(hint), folder=folder, remote=remote)
        listeners.append(listener)
        await listener.start()
        return listener

    yield start
    for listener in listeners:
        listener.stop()
    await asyncio.sleep(0)  # their sockets are closed in the next turn


@pytest.fixture
def sending(folder):
    """Make a sender, which is closed after the test."""
    with contextlib.ExitStack() as stack:

        def make(place=PLACE, hub=HUB, *, folder=folder, remote=None):
            sender = HintSender(place, hub, folder=folder, remote=remote)
            stack.callback(sender.close)
            return sender

        yield make


async def test_a_hint_reaches_who_listens_for_the_same_hub_of_the_same_store(folder, listening, sending):
    woken, others = [], []
    listener = await listening(woken)
    await listening(others, folder=folder / "sub")
    for place, hub in ((PLACE, "Other"), ("embedded store /other.db", HUB)):
        await listening(others, place=place, hub=hub)

    sending(hub="testhubname").hint("testhubname-control-00", 1.5)

    assert await heard(woken) == [("testhubname-control-00", 1.5)]
    assert others == []
    listener.stop()


async def test_a_process_does_not_wake_itself(listening, sending):
    woken = []
    listener = await listening(woken)
    sender = sending()
    sender.own_note = listener.note

    sender.hint("queue")
    await asyncio.sleep(0.1)

    assert woken == []


async def test_nobody_else_can_read_the_key_and_the_note_goes_with_its_process(folder, listening):
    listener = await listening([])

    assert stat.S_IMODE(listener.note.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    listener.stop()
    assert list(folder.iterdir()) == []


async def test_notes_of_dead_processes_are_removed(folder, listening):
    folder.mkdir(mode=0o700)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    left = folder / f"0123456789abcdef-{process.pid}.hint"
    left.write_text("{}")

    await listening([])

    assert not left.exists()


@pytest.mark.parametrize("words", ["", "{", '{"port": 1}', '{"port": "x", "key": "zz"}'])
async def test_a_note_that_cannot_be_read_is_passed_over(folder, words, listening, sending):
    woken = []
    listener = await listening(woken)
    (folder / f"{listener.note.name.partition('-')[0]}-{os.getppid()}.hint").write_text(words)

    sending().hint("queue")

    assert await heard(woken) == [("queue", 0.0)]


async def test_forged_old_and_misdirected_hints_are_not_heard(listening):
    woken = []
    listener = await listening(woken)
    name = listener.note.name.partition("-")[0]
    note = json.loads(listener.note.read_text())
    key, address = bytes.fromhex(note["key"]), ("127.0.0.1", note["port"])
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=address
    )

    def send(key, *words):
        text = json.dumps(words).encode()
        transport.sendto(hints._signature(key, text) + text)

    send(b"guessed", time.time(), name, "forged", 0)
    send(key, time.time() - 3600, name, "old", 0)
    send(key, time.time(), "another", "misdirected", 0)
    transport.sendto(b"")
    transport.sendto(b"\xff" * 2000)
    send(key, time.time(), name, "real", 0)

    assert await heard(woken) == [("real", 0)]
    transport.close()


async def test_a_flood_is_cut_off(listening, sending):
    woken = []
    await listening(woken)
    sender = sending()

    for _ in range(1000):
        sender.hint("queue")
    await asyncio.sleep(0.3)

    assert 0 < len(woken) <= 2 * hints.MAX_PER_SECOND  # the second may have changed in between


async def test_a_sender_without_anybody_to_hear_it_does_nothing(folder, sending):
    sender = sending()
    sender.hint("queue")

    assert not folder.exists()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="owners of folders are POSIX's")
async def test_a_folder_that_others_may_write_to_is_not_used(folder, caplog, listening, sending):
    folder.mkdir()
    folder.chmod(0o777)
    woken = []

    listener = await listening(woken)
    sending().hint("queue")
    await asyncio.sleep(0.05)

    assert (listener.note, woken) == (None, [])
    assert "queues are only polled" in caplog.text


async def test_hosts_on_other_machines_are_reached_by_settings(folder, listening, sending):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "TASKHUB_HINT_ADDRESS": f"127.0.0.1:{port}",
        "TASKHUB_HINT_PEERS": f"127.0.0.1:{port}, ",
        "TASKHUB_HINT_SECRET": "for all hosts",
    }
    woken = []
    await listening(woken, remote=PeerSettings.of(settings))

    sending(folder=folder / "elsewhere", remote=PeerSettings.of(settings)).hint("queue")

    assert await heard(woken) == [("queue", 0.0)]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"TASKHUB_HINT_PEERS": "10.0.0.4:7090"}, "need TASKHUB_HINT_SECRET"),
        ({"TASKHUB_HINT_PEERS": "10.0.0.4", "TASKHUB_HINT_SECRET": "x"}, "'10.0.0.4' but must be host:port"),
        ({"TASKHUB_HINT_ADDRESS": "a:99999", "TASKHUB_HINT_SECRET": "x"}, "'a:99999' but must be host:port"),
    ],
)
def test_wrong_settings_are_named(settings, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        PeerSettings.of(settings)


def test_without_settings_there_are_no_other_machines():
    assert PeerSettings.of({}) == PeerSettings()
    assert PeerSettings.of({"TASKHUB_HINT_PEERS": "a:1,b:2", "TASKHUB_HINT_SECRET": "x"}).peers == (
        Peer(("a", 1), b"x"),
        Peer(("b", 2), b"x"),
    )
