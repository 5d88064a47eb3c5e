"""``taskhub durable``: the verbs of ``func durable``, with its options, defaults and texts.

For scripts and hands that know them; what they do is what ``taskhub instances`` and ``taskhub hub`` do. Which hub they
are about is found as the host finds it, where the original knows literal values and one setting only.

Source: Azure Functions Core Tools 4, ``func durable``.
"""

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from taskhub.cli import values
from taskhub.cli.options import AppOption
from taskhub.cli.output import fail, print_json
from taskhub.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskhub.client import TaskHubClient
    from taskhub.model.ids import InstanceId
    from taskhub.model.instance import InstanceFilter, InstanceState

app = typer.Typer(help="The verbs of 'func durable', with its options and texts.", no_args_is_help=True)

TERMINATE_SECONDS = 30.0
REWIND_SECONDS = 3.0
"""How long a rewound instance is given to show another status."""
_POLL_SECONDS = 0.25
_NO_TIME = "0001-01-01T00:00:00"

_FLAGS = ("--show-input", "--show-output")
_STATUSES = "--runtime-status"

ConnectionSetting = Annotated[
    Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
    typer.Option(
        "--connection-string-setting",
        "--storage",
        metavar="SETTING|embedded|embedded:PATH|azurite",
        help="Setting that holds the connection string; by default what host.json says.",
    ),
]
TaskHubName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--task-hub-name", "--hub", metavar="NAME", help="Name of the task hub; by default what host.json says."
    ),
]
InstanceOption = Annotated[str, typer.Option("--id", help="Id of the instance.")]
Reason = Annotated[Optional[str], typer.Option("--reason", help="Kept with the instance.")]  # noqa: UP045
After = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--created-after", metavar="TIME", help="Only those created since then (UTC)."),
]
Before = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--created-before", metavar="TIME", help="Only those created until then (UTC)."),
]
Statuses = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(_STATUSES, metavar="STATUS...", help="Only those with one of these statuses."),
]


class VerbCommand(TyperCommand):
    """Takes values as the original does: ``--show-input true``, and several words after ``--runtime-status``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        return super().parse_args(ctx, _in_our_words(args))


def _in_our_words(words: list[str]) -> list[str]:
    found: list[str] = []
    option = ""
    for word in words:
        if word.startswith("--"):
            option = word
            if word != _STATUSES:
                found.append(word)
        elif option in _FLAGS:
            if word.lower() == "false":
                found.remove(option)
            elif word.lower() != "true":
                found.append(word)
            option = ""
        elif option == _STATUSES:
            found += [part for name in word.replace(",", " ").split() for part in (_STATUSES, name)]
        else:
            found.append(word)
    return found


# ---- start, look


@app.command("start-new", cls=VerbCommand)
def start_new(
    name: Annotated[str, typer.Option("--function-name", help="Name of the orchestrator.")],
    instance_id: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--id", help="Id of the new instance; by default a new one."),
    ] = None,
    given: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--input", metavar="TEXT|@FILE", help="Input: a text as it stands, or the JSON in a file."),
    ] = None,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Start an orchestration. A worker of the app runs it, now or when it is started."""
    from taskhub.model.ids import InstanceId

    new_id = InstanceId(instance_id or uuid.uuid4().hex)
    text = _payload(given, "--input")

    async def start(client: "TaskHubClient") -> "InstanceState | None":
        await client.start(name, instance_id=new_id, input=text)
        return await client.get(new_id)

    state = _on_hub((app_dir, hub, connection), start, creates=True)
    if state is None:
        fail(f"Could not start new instance '{new_id}'.")
    typer.echo(f"Started '{state.name}' at {_time(state.created)}. Instance ID: '{new_id}'.")


@app.command("get-runtime-status", cls=VerbCommand)
def get_runtime_status(
    instance_id: InstanceOption,
    show_input: Annotated[bool, typer.Option("--show-input", help="With its input.")] = False,
    show_output: Annotated[bool, typer.Option("--show-output", help="With its output.")] = False,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Print the state of an instance."""
    state = _on_hub((app_dir, hub, connection), lambda client: client.get(_id(instance_id)))
    if state is None:
        _tell_unknown(instance_id)
    else:
        print_json(state_json(state, show_input=show_input, show_output=show_output))


@app.command("get-history", cls=VerbCommand)
def get_history(
    instance_id: InstanceOption,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Print the history of an instance."""
    events = _on_hub((app_dir, hub, connection), lambda client: client.raw_history(_id(instance_id)))
    print_json(sorted(events, key=lambda event: event["Timestamp"]))


@app.command("get-instances", cls=VerbCommand)
def get_instances(
    after: After = None,
    before: Before = None,
    statuses: Statuses = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Most instances of a page.")] = 10,
    token: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--continuation-token", help="What the page before ended with."),
    ] = None,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Print the states of instances, a page of them."""
    wanted = _filter(after, before, statuses)
    page = _on_hub((app_dir, hub, connection), lambda client: client.query(wanted, top=top, token=token or None))
    print_json([state_json(state, show_input=True, show_output=True) for state in page.instances])
    typer.echo(f"Continuation token for next set of results: '{page.token or ''}'")


# ---- steer


@app.command("raise-event", cls=VerbCommand)
def raise_event(
    instance_id: InstanceOption,
    event: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--event-name", help="Name of the event; by default Event_ and a new number."),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--event-data", metavar="TEXT|@FILE", help="A text as it stands, or the JSON in a file."),
    ] = None,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Send an event to an instance."""
    name = event or f"Event_{uuid.uuid4().hex}"
    text = _payload(data, "--event-data")

    async def send(client: "TaskHubClient") -> bool:
        if await client.get(_id(instance_id)) is None:
            return False
        await client.raise_event(_id(instance_id), name, text)
        return True

    if not _on_hub((app_dir, hub, connection), send):
        # The original says that it was raised; nobody will ever get it.
        _tell_unknown(instance_id)
        raise typer.Exit(1)
    typer.echo(f"Raised event '{name}' to instance '{instance_id}'.")


@app.command("terminate", cls=VerbCommand)
def terminate(
    instance_id: InstanceOption,
    reason: Reason = None,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """End an instance, and wait until it has ended. Needs a worker of the app."""
    from taskhub.model.instance import RuntimeStatus

    async def end(client: "TaskHubClient") -> "InstanceState | None":
        state = await client.get(_id(instance_id))
        if state is None or state.status is RuntimeStatus.Terminated:
            return state
        if state.status is not None and state.status.is_terminal:
            fail(f"Instance '{instance_id}' is {state.status.name} and cannot be terminated.")
        await client.terminate(_id(instance_id), reason)
        typer.echo(f"Sent a termination message to instance '{instance_id}'. Waiting up to 30 seconds...")
        return await client.wait(_id(instance_id), timeout_seconds=TERMINATE_SECONDS, poll_seconds=_POLL_SECONDS)

    state = _on_hub((app_dir, hub, connection), end)
    if state is None:
        typer.secho(f"Failed to find instance '{instance_id}'. No instance was terminated.", fg=typer.colors.YELLOW)
    elif state.status is RuntimeStatus.Terminated:
        typer.secho(f"Successfully terminated '{instance_id}'", fg=typer.colors.GREEN)
    else:
        fail(
            f"Instance '{instance_id}' is {_name(state)} after {TERMINATE_SECONDS:g} seconds. It ends when a worker of "
            "the app takes the message."
        )


@app.command("rewind", cls=VerbCommand)
def rewind(
    instance_id: InstanceOption,
    reason: Reason = None,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Let a failed instance do again what failed in it."""
    from taskhub.runtime.clock import SystemClock

    async def act(client: "TaskHubClient") -> "tuple[InstanceState, InstanceState] | None":
        before = await client.get(_id(instance_id))
        if before is None:
            return None
        await client.rewind(_id(instance_id), reason)
        typer.echo(f"Rewind message sent to instance '{instance_id}'. Retrieving new status now...")
        after, clock = before, SystemClock()
        ends = clock.monotonic() + REWIND_SECONDS
        while after.status is before.status and clock.monotonic() < ends:
            await clock.sleep(_POLL_SECONDS)
            after = await client.get(_id(instance_id)) or after
        return before, after

    found = _on_hub((app_dir, hub, connection), act)
    if found is None:
        _tell_unknown(instance_id)
        raise typer.Exit(1)
    typer.echo(f"Status before rewind: {_name(found[0])}")
    typer.echo(f"Status after rewind: {_name(found[1])}")


# ---- delete


@app.command("purge-history", cls=VerbCommand)
def purge_history(
    after: After = None,
    before: Before = None,
    statuses: Statuses = None,
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Delete all that is stored of instances that have ended, without a question."""
    wanted = _filter(after, before, statuses)
    with progress("Purging", "instances") as advance:
        purged = _on_hub((app_dir, hub, connection), lambda client: client.purge_ended(wanted, progress=advance))
    window = f"created after {_time(wanted.created_from)} and before {_time(wanted.created_to)}"
    names = ", ".join(sorted(status.name for status in wanted.statuses))
    typer.echo(f"Purged the history of instances {window}{f', with status {names}' if names else ''}.")
    typer.echo(f"Instances deleted: {purged.instances}")
    typer.echo(f"Rows deleted: {purged.rows}")


@app.command("delete-task-hub", cls=VerbCommand)
def delete_task_hub(
    app_dir: AppOption = Path(),
    connection: ConnectionSetting = None,
    hub: TaskHubName = None,
) -> None:
    """Delete a task hub with everything in it, without a question. Its workers must be stopped."""

    async def delete(client: "TaskHubClient") -> tuple[str, bool]:
        status = await client.hub_status(count_instances=False)
        return status.hub, await client.delete_hub()

    name, is_deleted = _on_hub((app_dir, hub, connection), delete)
    if not is_deleted:
        fail(f"There is no task hub '{name}'.")
    typer.secho(f"Task hub '{name}' successfully deleted.", fg=typer.colors.GREEN)


# ---- what the verbs share


def state_json(state: "InstanceState", *, show_input: bool, show_output: bool) -> "Mapping[str, Any]":
    """Return a state as .NET's object is written: its names, and the number of the status."""
    return {
        "Version": state.version,
        "Status": state.custom_status,
        "OrchestrationInstance": {"InstanceId": state.instance_id, "ExecutionId": state.execution_id},
        "ParentInstance": None,
        "Name": state.name,
        "Input": state.input if show_input else None,
        "Output": state.output if show_output else None,
        "CreatedTime": state.created or _NO_TIME,
        "CompletedTime": state.completed or _NO_TIME,
        "LastUpdatedTime": state.last_updated or _NO_TIME,
        "CompressedSize": 0,
        "Size": 0,
        "OrchestrationStatus": state.status.value if state.status else None,
        "Tags": dict(state.tags) if state.tags else None,
        "Generation": state.generation or 0,
        "ScheduledStartTime": state.scheduled_start,
        "FailureDetails": None,
    }


def _payload(text: str | None, option: str) -> str | None:
    """Return the JSON of a value: a text stays one, whatever it looks like; a file holds JSON."""
    if text is None or text.startswith("@"):
        return values.json_text(text, option)
    return json.dumps(text, ensure_ascii=False)


def _filter(after: str | None, before: str | None, statuses: "list[str] | None") -> "InstanceFilter":
    from taskhub.model.instance import InstanceFilter

    return InstanceFilter(
        created_from=values.moment(after, "--created-after"),
        created_to=values.moment(before, "--created-before"),
        statuses=values.statuses(",".join(statuses or ())),
    )


def _on_hub(
    where: "tuple[Path, str | None, str | None]",
    act: "Callable[[TaskHubClient], Awaitable[Any]]",
    *,
    creates: bool = False,
) -> Any:
    from taskhub.cli.hub_access import HubOptions, with_hub

    options: HubOptions = HubOptions(*where)
    return with_hub(options, act, creates=creates)


def _id(text: str) -> "InstanceId":
    from taskhub.model.ids import InstanceId

    return InstanceId(text)


def _tell_unknown(instance_id: str) -> None:
    typer.secho(f"Could not find an orchestration instance with id '{instance_id}'", fg=typer.colors.RED)


def _name(state: "InstanceState") -> str:
    return state.status.name if state.status else "unknown"


def _time(time: "str | None") -> str:
    return time or "any time"
