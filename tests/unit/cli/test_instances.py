"""`taskhub instances`: what each command does, says, and ends with."""

import json

import pytest

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus


def statuses(taskhub):
    return {each["instanceId"]: each["runtimeStatus"] for each in taskhub("instances", "list", "--json").json}


# ---- start, raise, wait


def test_a_start_prints_the_id_and_a_worker_runs_it_later(taskhub, tmp_path):
    (tmp_path / "input.json").write_text('{"colour": "blue"}', encoding="utf-8")
    first = taskhub("instances", "start", "quick", "--id", "q-1", "--input", '{"a": 1}', "--tag", "team=blue")
    second = taskhub("instances", "start", "quick", "--input", f"@{tmp_path / 'input.json'}", "--json")
    third = taskhub("instances", "start", "quick")

    async def ends(hub):
        return [await hub.end(each) for each in ("q-1", second.json["instanceId"], third.out.strip())]

    states = taskhub.on_hub(ends)

    assert (first.code, first.out) == (0, "q-1\n")
    assert [state.output for state in states] == ['{"a":1}', '{"colour":"blue"}', None]
    assert states[0].tags == {"team": "blue"}
    assert len(third.out.strip()) == 32


def test_a_start_may_lie_ahead(taskhub):
    taskhub("instances", "start", "quick", "--id", "later", "--at", "2h")

    async def state(hub):
        return await hub.client.get(InstanceId("later"))

    later = taskhub.on_hub(state)

    assert later.status is RuntimeStatus.Pending
    assert 7190 < (later.scheduled_start.moment() - later.created.moment()).total_seconds() < 7210


def test_a_taken_id_is_refused(taskhub):
    taskhub("instances", "start", "quick", "--id", "q")

    done = taskhub("instances", "start", "quick", "--id", "q")

    assert (done.code, done.out) == (1, "")
    assert "instance 'q' exists and is Pending" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("start", "quick", "--input", "blue"), "A text needs its own quotes"),
        (("start", "quick", "--input", "@nowhere.json"), "cannot read nowhere.json"),
        (("start", "quick", "--tag", "blue"), "'blue' is no tag"),
        (("start", "quick", "--at", "soon"), "'soon' is no time"),
        (("list", "--after", "yesterday"), "'yesterday' is no time"),
        (("list", "--status", "finished"), "'finished' is no status"),
        (("restart", "q", "--same-id", "--new-id", "r"), "exclude each other"),
        (("purge",), "Name instances, or say which"),
        (("purge", "q", "--all"), "Name instances, or say which"),
    ],
)
def test_a_wrong_value_is_told_with_what_would_be_right(taskhub, arguments, message):
    done = taskhub("instances", *arguments)

    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())


def test_an_event_reaches_its_instance_and_a_wait_ends_with_it(taskhub):
    taskhub("instances", "start", "waiting", "--id", "w")
    still = taskhub("instances", "wait", "w", "--timeout", "0")
    sent = taskhub("instances", "raise", "w", "go", "--data", '"hello"')

    async def ends(hub):
        await hub.end("w")

    taskhub.on_hub(ends)
    over = taskhub("instances", "wait", "w", "--json")
    again = taskhub("instances", "raise", "w", "go")

    assert still.code == 124
    assert "'w' has not ended after 0 s." in still.err
    assert "'w' is sent the event 'go'." in sent.err
    assert (over.code, over.json["output"]) == (0, "hello")
    assert (again.code, again.err) == (1, "'w' is Completed and cannot take events.\n")


def test_waiting_for_one_that_failed_ends_with_1(taskhub):
    taskhub("instances", "start", "flaky", "--id", "f")

    async def ends(hub):
        await hub.end("f")

    taskhub.on_hub(ends)

    done = taskhub("instances", "wait", "f")
    assert done.code == 1
    assert "Failed" in done.out


# ---- terminate, suspend, resume


def test_instances_are_paused_resumed_and_ended(taskhub):
    for name in ("a", "b"):
        taskhub("instances", "start", "waiting", "--id", name)

    async def reach(hub, status):
        for name in ("a", "b"):
            await hub.until(name, lambda state: state.status is status)

    taskhub.on_hub(lambda hub: reach(hub, RuntimeStatus.Running))
    not_yet = taskhub("instances", "resume", "a")
    taskhub("instances", "suspend", "a", "b", "--reason", "hold")
    taskhub.on_hub(lambda hub: reach(hub, RuntimeStatus.Suspended))
    twice = taskhub("instances", "suspend", "a")
    taskhub("instances", "resume", "a", "b")
    taskhub.on_hub(lambda hub: reach(hub, RuntimeStatus.Running))
    done = taskhub("instances", "terminate", "a", "b", "--reason", "enough")
    taskhub.on_hub(lambda hub: reach(hub, RuntimeStatus.Terminated))
    too_late = taskhub("instances", "terminate", "a")

    assert not_yet.err == "'a' is not suspended but Running.\n"
    assert twice.err == "'a' is suspended already.\n"
    assert done.err == "'a' will be terminated.\n'b' will be terminated.\n"
    assert too_late.err == "'a' is Terminated and cannot be terminated.\n"
    assert (not_yet.code, twice.code, done.code, too_late.code) == (1, 1, 0, 1)
    assert taskhub("instances", "show", "a", "--json").json["output"] == "enough"


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody"),
        ("history", "nobody"),
        ("wait", "nobody"),
        ("raise", "nobody", "go"),
        ("terminate", "nobody"),
        ("suspend", "nobody"),
        ("resume", "nobody"),
        ("rewind", "nobody"),
        ("restart", "nobody"),
        ("purge", "nobody"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_nobody_is_an_error(taskhub, arguments):
    taskhub("hub", "create")

    done = taskhub("instances", *arguments)

    assert (done.code, done.out) == (1, "")
    assert "nobody" in done.err


# ---- rewind, restart, history


def test_a_failed_instance_is_rewound_once_its_cause_is_mended(taskhub):
    taskhub("instances", "start", "flaky", "--id", "f")

    async def ends(hub):
        return await hub.until("f", lambda state: state.status in (RuntimeStatus.Failed, RuntimeStatus.Completed))

    taskhub.on_hub(ends)
    taskhub.broken.is_mended = True
    done = taskhub("instances", "rewind", "f", "--reason", "mended")
    pending = statuses(taskhub)
    state = taskhub.on_hub(ends)
    again = taskhub("instances", "rewind", "f")
    events = taskhub("instances", "history", "f", "--json").json

    assert (done.code, done.err) == (0, "'f' is rewound.\n")
    assert pending == {"f": "Pending"}
    assert state.output == "1"
    assert (again.code, again.err) == (1, "instance 'f' is Completed; only failed ones can be rewound\n")
    assert "mended" in [event.get("Data") for event in events]
    assert "TaskCompleted" in taskhub("instances", "history", "f").out


def test_an_instance_is_restarted_under_a_new_the_same_or_a_given_id(taskhub):
    taskhub("instances", "start", "quick", "--id", "q", "--input", "5")

    async def ends(hub):
        await hub.end("q")

    taskhub.on_hub(ends)
    generated = taskhub("instances", "restart", "q").out.strip()
    given = taskhub("instances", "restart", "q", "--new-id", "r", "--json").json["instanceId"]
    same = taskhub("instances", "restart", "q", "--same-id").out.strip()

    async def outputs(hub):
        return [(await hub.end(each)).output for each in (generated, given, same)]

    assert (len(generated), given, same) == (32, "r", "q")
    assert taskhub.on_hub(outputs) == ["5"] * 3


# ---- purge, list


def some_instances(taskhub):
    for name in ("q-1", "q-2", "other"):
        taskhub("instances", "start", "quick", "--id", name)
    taskhub("instances", "start", "waiting", "--id", "q-w")

    async def ends(hub):
        for name in ("q-1", "q-2", "other"):
            await hub.end(name)
        await hub.running("q-w")

    taskhub.on_hub(ends)


def test_named_instances_are_purged_but_live_ones_only_by_force(taskhub):
    some_instances(taskhub)

    named = taskhub("instances", "purge", "q-1", "other")
    live = taskhub("instances", "purge", "q-w")
    forced = taskhub("instances", "purge", "q-w", "--force", "--json")

    assert (named.code, named.out) == (0, "2 instances purged.\n")
    assert (live.code, live.err) == (1, "'q-w' is Running. Terminate it first, or say --force.\n")
    assert forced.json == {"instancesDeleted": 1}
    assert statuses(taskhub) == {"q-2": "Completed"}


def test_many_are_purged_after_a_question(taskhub):
    some_instances(taskhub)

    refused = taskhub("instances", "purge", "--prefix", "q-", given="n\n")
    nothing = taskhub("instances", "purge", "--before", "1h", "--yes", "--json")
    agreed = taskhub("instances", "purge", "--prefix", "q-", given="y\n")
    rest = taskhub("instances", "purge", "--all", "--yes")

    assert refused.code == 1
    assert nothing.json == {"instancesDeleted": 0}
    assert agreed.out.endswith("2 instances purged.\n")
    assert rest.out == "1 instance purged.\n"
    assert statuses(taskhub) == {"q-w": "Running"}


def test_lists_are_narrowed_by_time_and_without_entities(taskhub):
    some_instances(taskhub)

    def ids(*options):
        return [each["instanceId"] for each in taskhub("instances", "list", "--json", *options).json]

    assert ids("--after", "1h") == ["other", "q-1", "q-2", "q-w"]
    assert ids("--before", "1h") == []
    assert ids("--after", "2100-01-01") == []
    assert ids("--no-entities", "--status", "completed", "--prefix", "q") == ["q-1", "q-2"]
    assert "This task hub has no such instances." in taskhub("instances", "list", "--before", "1h").out


def test_a_table_shows_each_instance_in_one_line(taskhub):
    some_instances(taskhub)

    lines = taskhub("instances", "list").out.splitlines()

    assert [line.split()[:3] for line in lines] == [
        ["Instance", "Orchestrator", "Status"],
        ["other", "quick", "Completed"],
        ["q-1", "quick", "Completed"],
        ["q-2", "quick", "Completed"],
        ["q-w", "waiting", "Running"],
    ]
    assert "ExecutionStarted" in taskhub("instances", "show", "q-1", "--history").out
    assert json.loads(taskhub("instances", "show", "q-1", "--json").out)["runtimeStatus"] == "Completed"
