"""`taskhub hub`: what each command does, says, and ends with."""

import json


def three_that_wait(taskhub):
    for name in ("a", "b", "c"):
        taskhub("instances", "start", "waiting", "--id", name)


def test_a_hub_is_made_looked_at_and_deleted(taskhub):
    made = taskhub("hub", "create")
    again = taskhub("hub", "create")
    three_that_wait(taskhub)
    shown = taskhub("hub", "status")
    told = taskhub("hub", "status", "--json").json
    quickly = taskhub("hub", "status", "--json", "--no-instances").json
    refused = taskhub("hub", "delete", given="n\n")
    deleted = taskhub("hub", "delete", "--yes")
    gone = taskhub("hub", "status")
    nothing = taskhub("hub", "delete", "--yes")

    assert (made.code, again.code, made.err) == (0, 0, again.err)
    assert "Task hub 'CliHub' is kept in embedded store" in made.err
    assert "with 4 partitions" in made.err
    assert "Orchestrations: 3 Pending" in shown.out
    assert "clihub-control-03" in shown.out
    assert "nobody" in shown.out
    assert told["instances"] == {"Pending": 3}
    assert sum(each["messages"] for each in told["partitions"]) == 3
    assert "instances" not in quickly
    assert "with 3 instances?" in refused.err
    assert (refused.code, deleted.code, gone.code, nothing.code) == (1, 0, 1, 1)
    assert "There is no task hub 'CliHub'" in gone.err


def test_a_hub_moves_through_a_file_or_a_pipe(taskhub, tmp_path):
    three_that_wait(taskhub)
    taskhub("instances", "raise", "a", "go", "--data", "1")

    to_file = taskhub("hub", "dump", str(tmp_path / "hub.jsonl"))
    to_pipe = taskhub("hub", "dump")
    elsewhere, there = tmp_path / "other.db", tmp_path / "third.db"
    from_file = taskhub("hub", "load", str(tmp_path / "hub.jsonl"), store=elsewhere)
    from_pipe = taskhub("hub", "load", "-", given=to_pipe.out, store=there, hub="Other")
    twice = taskhub("hub", "load", str(tmp_path / "hub.jsonl"), store=elsewhere)

    async def ends(hub):
        return (await hub.end("a")).output

    assert (to_file.code, to_file.err) == (0, "3 rows, 0 blobs and 4 messages dumped.\n")
    assert to_pipe.err == to_file.err
    assert (from_file.code, from_file.err) == (0, "3 rows, 0 blobs and 4 messages loaded.\n")
    assert from_pipe.err == from_file.err
    assert (twice.code, "is not empty" in twice.err) == (1, True)
    assert taskhub.on_hub(ends, store=elsewhere) == "1"
    assert taskhub("hub", "status", "--json", store=there, hub="Other").json["instances"] == {"Pending": 3}
    lines = (tmp_path / "hub.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["hub", *["row"] * 3, *["message"] * 4, "end"]


def test_a_dump_that_fails_leaves_no_file(taskhub, tmp_path):
    taskhub("hub", "create")
    taskhub("hub", "delete", "--yes")

    done = taskhub("hub", "dump", str(tmp_path / "hub.jsonl"))

    assert done.code == 1
    assert "there is no task hub 'CliHub'" in done.err
    assert [path.name for path in tmp_path.iterdir() if "jsonl" in path.name] == []


def test_files_that_cannot_be_opened_are_named(taskhub, tmp_path):
    taskhub("hub", "create")

    unwritable = taskhub("hub", "dump", str(tmp_path / "nowhere" / "hub.jsonl"))
    unreadable = taskhub("hub", "load", str(tmp_path / "nothing.jsonl"))
    (tmp_path / "song.txt").write_text("la la la\n", encoding="utf-8")
    no_dump = taskhub("hub", "load", str(tmp_path / "song.txt"))

    assert (unwritable.code, "Cannot write" in unwritable.err) == (1, True)
    assert (unreadable.code, "Cannot read" in unreadable.err) == (1, True)
    assert (no_dump.code, "line 1 of the dump is not JSON" in no_dump.err) == (1, True)


def test_a_hub_in_use_is_neither_dumped_nor_deleted(taskhub):
    three_that_wait(taskhub)

    async def meanwhile(hub):
        import asyncio

        await hub.running("a")
        return (
            await asyncio.to_thread(taskhub, "hub", "dump"),
            await asyncio.to_thread(taskhub, "hub", "delete", "--yes"),
            await asyncio.to_thread(taskhub, "hub", "status"),
        )

    dump, delete, status = taskhub.on_hub(meanwhile)

    assert (dump.code, dump.out) == (1, "")
    assert "is in use by worker" in dump.err
    assert "is in use by worker" in delete.err
    assert status.out.count(" worker ") == 4
    assert taskhub("hub", "status", "--json").json["instances"] == {"Running": 3}
