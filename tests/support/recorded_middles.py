"""Recorded hubs that our worker finishes: which there are, how they must end, and what must be true then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.codec.instance_rows import decode_instance
from taskhub.codec.keys import escape_instance_id
from taskhub.codec.messages import decode_envelope
from taskhub.model.history import TaskScheduled
from taskhub.model.ids import InstanceId
from taskhub.model.messages import Envelope
from taskhub.simulation.loop import START
from tests.simulation.checks import check_at_rest
from tests.support.dotnet_programs import ORCHESTRATORS
from tests.support.recorded_hub import AFTERWARDS, Restored, recording
from tests.support.recordings import batch_rows, folders
from tests.support.virtual_hub import VirtualHub

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.hub_state import HubState
    from tests.support.plain_application import PlainApplication
    from tests.support.recorded_hub import Recording

NOT_FINISHED = {
    **dict.fromkeys(("fan_out_100", "query_many", "two_workers"), "not all of its requests are recorded whole"),
    **dict.fromkeys(("idle_60s", "idle_60s_safe", "idle_60s_legacy"), "nothing is begun"),
    **dict.fromkeys(("lease_table", "lease_safe", "lease_legacy"), "nothing is begun"),
    "garbage_messages": "nothing is begun; what nobody can read stays",
    "client_calls": "no worker took part",
}
"""Scenarios that have no middle, and why."""

MIDDLES = [folder.name for folder in folders("storage") if folder.name not in NOT_FINISHED]


NOT_NEW: Mapping[str, Any] = {"assume_new": False}
"""A start that was read before is known by its count of readings, which cannot be restored."""


def hub_of(recorded: Recording, app: PlainApplication, **settings: Any) -> VirtualHub:
    """Return a hub with the recording's name and settings, in virtual time."""
    return VirtualHub(
        app=app,
        hub_name=recorded.answers["hub"]["Hub"],
        default_version="",
        overridable_running_instances=True,
        max_seconds=1e9,
        **NOT_NEW,
        **settings,
    )


async def restored_at(hub: VirtualHub, recorded: Recording, point: int) -> Restored:
    """Bring a hub to a point of its recording, of which ``point`` changes were made."""
    # The recorded times must lie in the past, or timers would wait for them.
    await hub.sleep((AFTERWARDS - START).total_seconds())
    await hub.client.create_hub()
    restored = Restored(recorded, hub.storage, hub.names)
    await restored.until(point)
    return restored


Ends = dict[str, tuple[str, "str | None"]]
"""By instance: status and output."""


def recorded_ends(scenario: str, point: int) -> Ends:
    """Return how the instances of a scenario ended; or how ours do, where the reference's would stay open."""
    recorded = recording(scenario)
    hub = recorded.answers["hub"]["Hub"]
    ends: Ends = {}
    for row in recorded.state["tables"][f"{hub}Instances"]:
        output = row.get("Output")
        if output is not None and "-largemessages/" in output:
            output = recorded.large_texts[output.partition("-largemessages/")[2]]
        ends[row["PartitionKey"]] = row["RuntimeStatus"], output
    if scenario == "terminate_pending" and not has_begun(recorded, point):
        ends["term-2"] = "Terminated", "not needed"  # the reference starts it all the same
    if scenario == "unknown_names":
        ends = dict(UNKNOWN_NAMES)
    for instance_id in recorded.purged:
        ends[instance_id] = recorded.final_statuses[instance_id], UNKNOWN
    return ends


UNKNOWN = "?"
"""The output of an instance that was purged."""
UNKNOWN_NAMES: Ends = {
    "unknown-1": (
        "Failed",
        "Orchestrator function 'NoSuchOrchestration' failed: The function 'NoSuchOrchestration' doesn't exist, is "
        "disabled, or is not an orchestrator function. Additional info: The following are the known orchestrator "
        f"functions: {', '.join(map(repr, ORCHESTRATORS))}.",
    ),
    "unknown-2": (
        "Failed",
        "Orchestrator function 'CallMissing' failed: Activity function 'NoSuchActivity' failed: Activity function "
        "'NoSuchActivity' does not exist.",
    ),
}
"""The reference waits for ever until it knows them."""


def has_begun(recorded: Recording, point: int) -> bool:
    """Return whether the history of something was stored by then."""
    return any(each["kind"] == "table.batch History" for each in recorded.changes[:point])


def check_finished(scenario: str, hub: HubState, app: PlainApplication, point: int) -> None:
    """Check a hub whose recorded beginning, up to a point, our worker has finished."""
    ends = recorded_ends(scenario, point)
    never_begun = [key for key, (status, _) in ends.items() if status == "Terminated" and not hub.history]
    histories = check_at_rest(hub, never_begun=never_begun)
    found = {row.partition_key: decode_instance(row.partition_key, row.columns) for row in hub.instances}
    ours = {
        key: (
            state.status.name if state.status else "none",
            UNKNOWN if ends.get(key, ("", None))[1] == UNKNOWN else _output(state.output, hub),
        )
        for key, state in found.items()
    }
    assert ours == ends, f"ended as {ours}, not as {ends}"
    done = set(_activities_over(recording(scenario), point))
    ran = {(escape_instance_id(InstanceId(instance_id)), task_id) for instance_id, _, task_id in app.runs}
    scheduled = {
        (partition_key, event.event_id)
        for partition_key, events in histories.items()
        for event in events
        if isinstance(event, TaskScheduled)
    }
    assert not ran & done, "an activity ran again whose answer was there"
    assert scheduled <= ran | done, "an activity did not run"
    assert max(app.runs.values(), default=0) <= 2


def _output(output: str | None, hub: HubState) -> str | None:
    return hub.blobs[output.partition("-largemessages/")[2]] if output and "-largemessages/" in output else output


def _activities_over(recorded: Recording, point: int) -> Iterator[tuple[str, int]]:
    """Yield instance and task of each work item that was done, answered and deleted, and whose task was stored.

    One whose task was not: the episode that asked for it runs again, and asks again.
    """
    stored = {
        (row.partition_key, row.columns["EventId"])
        for request in recorded.changes[:point]
        if request["kind"] == "table.batch History"
        for row in batch_rows(request)
        if row.columns.get("EventType") == "TaskScheduled"
    }
    puts = {message["message_id"]: put for put, message in recorded.messages.items()}
    for request in recorded.changes[:point]:
        if request["kind"] == "queue.delete_message workitems":
            content = decode_envelope(recorded.text_of(puts[request["path"].rpartition("/")[2]]))
            if not isinstance(content, Envelope):
                content = decode_envelope(recorded.large_texts[content.blob_name])
            assert isinstance(content, Envelope)
            task = escape_instance_id(content.message.target.instance_id), content.message.event.event_id
            if task in stored:
                yield task
