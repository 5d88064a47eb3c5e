"""How far long work has come is shown to people, and to nobody else."""

import re

import pytest


def bars(text):
    """What was shown, without the commands to the terminal."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)


@pytest.fixture
def three(taskhub):
    for name in ("a", "b", "c"):
        taskhub("instances", "start", "quick", "--id", name)

    async def ended(hub):
        for name in ("a", "b", "c"):
            await hub.end(name)

    taskhub.on_hub(ended)
    return taskhub


@pytest.fixture
def terminal(monkeypatch):
    """Let rich believe that it writes to one."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("TERM", "xterm")


def test_a_dump_and_its_load_are_followed(three, tmp_path, terminal):
    dump = three("hub", "dump", str(tmp_path / "hub.jsonl"))
    load = three("hub", "load", str(tmp_path / "hub.jsonl"), store=tmp_path / "other.db")

    size = (tmp_path / "hub.jsonl").stat().st_size
    lines = len((tmp_path / "hub.jsonl").read_text(encoding="utf-8").splitlines())
    assert f"{lines} rows, blobs and messages" in bars(dump.err)
    assert f"{size:,} of {size:,} bytes" in bars(load.err)
    assert dump.err.endswith(" dumped.\n")


def test_a_look_and_a_purge_are_followed(three, terminal):
    looked = three("doctor")
    named = three("instances", "purge", "a")
    purged = three("instances", "purge", "--all", "--yes")

    assert re.search(r"Looking .* \d+ rows and messages", bars(looked.err))
    assert "1 of 1 instances" in bars(named.err)
    assert re.search(r"Purging .* 2 instances", bars(purged.err))


def test_programs_see_nothing_of_it(three, tmp_path):
    dump = three("hub", "dump")
    looked = three("doctor")
    purged = three("instances", "purge", "--all", "--yes")

    assert (dump.err.count("\n"), looked.err, purged.err) == (1, "", "")
