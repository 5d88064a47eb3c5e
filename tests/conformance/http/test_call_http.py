"""The recorded HTTP calls, made by our host to a server that answers as the recording's did."""

import json
from datetime import timedelta

import azure.durable_functions as df
import pytest

from tests.support.http_target import RECORDED, calling, running_target, without_server
from tests.support.lab import running_lab
from tests.support.recordings import GOLDEN

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")


def with_our_server(base):
    """Let a scenario call our server; what it wrote as raw actions is said in the SDK's words."""

    def polled(context):
        headers = {"X-Sent": "yes", "x-functions-key": "secret", "Authorization": "Basic eDp5"}
        return (yield context.call_http("GET", base + "/start", headers=headers, asynchronous_pattern_enabled=True))

    def retried(context):
        options = df.HttpRetryOptions(1000, 5, status_codes_to_retry=[503])
        return (yield context.call_http("GET", base + "/busy", retry_options=options))

    def multipart(context):
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return (yield context.call_http("POST", base + "/echo", "x", headers, is_raw_str=True))

    def timed(context):
        headers = {"X-List": ["a", "b"]}
        return (yield context.call_http("GET", base + "/echo", headers=headers, timeout=timedelta(seconds=10)))

    def change(module):
        module.BASE, module.RAW = base, {}
        module.ORCHESTRATORS |= {"polled": polled, "retried": retried, "multipart": multipart, "timed": timed}

    return change


def recorded():
    lines = (GOLDEN / "extension/call_http/messages.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        (message["OrchestrationInstance"]["InstanceId"], message["Event"])
        for message in (json.loads(line)["message"]["TaskMessage"] for line in lines)
    ]


def requests_by_instance(events, base):
    """Return the requests of each instance in order, with the recorded address."""
    found = {}
    for instance_id, text in events:
        found.setdefault(instance_id, []).extend(json.loads(text.replace(base, RECORDED)))
    return found


def answers_by_instance(events, base):
    """Return what came of each request: the answer, or the reason of its failure."""
    found = {}
    for instance_id, text in events:
        text = without_server(text, base)
        found.setdefault(instance_id, []).append(json.loads(text) if text.startswith("{") else text)
    return found


@pytest.mark.parametrize("by_json", [False, True], ids=["live", "by json"])
async def test_recorded_calls_send_and_bring_what_was_recorded(by_json):
    with running_target() as target:
        change = calling(target.base) if by_json else with_our_server(target.base)
        async with running_lab("call_http", change=change, by_json=by_json) as (module, lab):
            await module.drive(lab)
            names = {**module.ORCHESTRATORS, **module.RAW}
            statuses = {name: (await lab.status(f"{name}-1"))["runtimeStatus"] for name in names}
        base = target.base

    ours = [(each.message.target.instance_id, each.message.event) for each in lab.notes.work_items]
    requests = requests_by_instance([(instance_id, event.input) for instance_id, event in ours], base)
    answers = answers_by_instance(
        [
            (each.message.target.instance_id, getattr(each.message.event, "result", None) or each.message.event.reason)
            for each in lab.notes.messages
            if type(each.message.event).__name__ in ("TaskCompleted", "TaskFailed")
        ],
        base,
    )
    theirs = [(instance_id, event) for instance_id, event in recorded() if event.get("Name", "")[:7] == "BuiltIn"]
    assert requests == requests_by_instance([(each, event["Input"]) for each, event in theirs], base)
    assert answers == answers_by_instance(
        [(each, event.get("Result") or event["Reason"]) for each, event in recorded() if event["EventType"] in (5, 6)],
        base,
    )
    # The raw function caught the failure of its multipart request.
    failed = {"refused": "Failed", **({} if by_json else {"multipart": "Failed"})}
    assert statuses == {name: failed.get(name, "Completed") for name in names}
