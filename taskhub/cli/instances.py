"""``taskhub instances``: look at the instances of a task hub without running its app."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taskhub.cli import values
from taskhub.cli.instance_actions import register
from taskhub.cli.options import AppOption, AsJson, Hub, InstanceArgument, Storage
from taskhub.cli.output import (
    console,
    event_summary,
    fail,
    print_json,
    print_message,
    print_table,
    print_values,
    status_text,
    time_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.client import TaskHubClient
    from taskhub.model.history import HistoryEvent
    from taskhub.model.instance import InstanceFilter, InstanceState

app = typer.Typer(help="Look at the instances of a task hub, and steer them.", no_args_is_help=True)
register(app)

_PAGE = 100
TIMED_OUT = 124
"""Exit code of a wait whose time is over, as that of ``timeout``."""


@app.command("list")
def list_instances(
    status: Annotated[
        Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option("--status", help="Only these, separated by commas: Running, Failed …"),
    ] = None,
    prefix: Annotated[Optional[str], typer.Option("--prefix", help="Only ids that begin so.")] = None,  # noqa: UP045
    after: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--after", metavar="TIME", help=f"Only those created since then. {values.TIME_HELP}"),
    ] = None,
    before: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--before", metavar="TIME", help="Only those created until then."),
    ] = None,
    no_entities: Annotated[bool, typer.Option("--no-entities", help="Leave out entities.")] = False,
    top: Annotated[int, typer.Option("--top", min=1, help="Most instances to show.")] = 100,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """List the instances of a task hub, in order of their ids."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.host.routes import status_json
    from taskhub.model.instance import InstanceFilter

    wanted = InstanceFilter(
        created_from=values.moment(after, "--after"),
        created_to=values.moment(before, "--before"),
        statuses=values.statuses(status),
        id_prefix=prefix,
        excludes_entities=no_entities,
    )
    found, more = with_hub(HubOptions(app_dir, hub, storage), lambda client: _read(client, wanted, top))
    if as_json:
        print_json([status_json(state, show_input=True) for state in found])
        return
    if found:
        print_table(
            ("Instance", "Orchestrator", "Status", "Created (UTC)", "Last updated (UTC)"),
            [_row(state) for state in found],
            folds="Orchestrator",
        )
    else:
        console().print("This task hub has no such instances.")
    if more:
        console().print(f"There are more than these {len(found)}; --top shows more of them.")


async def _read(client: "TaskHubClient", wanted: "InstanceFilter", top: int) -> "tuple[list[InstanceState], bool]":
    found: list[Any] = []
    token = None
    while True:
        page = await client.query(wanted, top=min(_PAGE, top - len(found)), token=token)
        found += page.instances
        token = page.token
        if token is None or len(found) >= top:
            return found, token is not None


def _row(state: "InstanceState") -> "tuple[Any, ...]":
    name = state.status.name if state.status else "Unknown"
    return (
        state.instance_id,
        state.name or "",
        status_text(name),
        time_text(state.created),
        time_text(state.last_updated),
    )


@app.command("show")
def show_instance(
    instance_id: InstanceArgument,
    history: Annotated[bool, typer.Option("--history", help="Show its events too.")] = False,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Show one instance: state, input, output, and with --history what happened."""
    from taskhub.cli.hub_access import HubOptions
    from taskhub.host.history_view import history_json
    from taskhub.host.routes import status_json

    state, events = _read_one(HubOptions(app_dir, hub, storage), instance_id, with_history=history)
    shown = status_json(state, show_input=True)
    if history:
        shown["historyEvents"] = history_json(events, show_input=True, show_output=True)
    if as_json:
        print_json(shown)
        return
    happened = shown.pop("historyEvents", None)
    print_values({**shown, "runtimeStatus": status_text(shown["runtimeStatus"])})
    if happened is not None:
        console().print()
        _print_events(happened)


@app.command("history")
def show_history(
    instance_id: InstanceArgument,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Show what happened in an instance, event by event."""
    from taskhub.cli.hub_access import HubOptions
    from taskhub.host.history_view import history_json

    _, events = _read_one(HubOptions(app_dir, hub, storage), instance_id, with_history=True)
    shown = history_json(events, show_input=True, show_output=True)
    if as_json:
        print_json(shown)
    else:
        _print_events(shown)


def _read_one(options: Any, instance_id: str, *, with_history: bool) -> "tuple[InstanceState, Sequence[HistoryEvent]]":
    from taskhub.cli.hub_access import with_hub
    from taskhub.model.ids import InstanceId

    async def read(client: "TaskHubClient") -> "tuple[InstanceState | None, Sequence[HistoryEvent]]":
        state = await client.get(InstanceId(instance_id))
        return state, await client.history(InstanceId(instance_id)) if state is not None and with_history else ()

    state, events = with_hub(options, read)
    if state is None:
        fail(f"No instance has the id '{instance_id}' in this task hub.")
    return state, events


@app.command("wait")
def wait_for_instance(
    instance_id: InstanceArgument,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait at most.")
    ] = 3600.0,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Wait until an instance has ended.

    Ends with 0 when it completed, with 1 when it failed or was terminated, with 124 when the time is over.
    """
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.host.routes import status_json
    from taskhub.model.ids import InstanceId
    from taskhub.model.instance import RuntimeStatus

    async def wait(client: "TaskHubClient") -> "InstanceState | None":
        if await client.get(InstanceId(instance_id)) is None:
            return None
        return await client.wait(InstanceId(instance_id), timeout_seconds=timeout, poll_seconds=0.5)

    state = with_hub(HubOptions(app_dir, hub, storage), wait)
    if state is None:
        fail(f"No instance has the id '{instance_id}' in this task hub.")
    shown = status_json(state, show_input=True)
    if as_json:
        print_json(shown)
    else:
        print_values({**shown, "runtimeStatus": status_text(shown["runtimeStatus"])})
    if state.status is None or not state.status.is_terminal:
        print_message(f"'{instance_id}' has not ended after {timeout:g} s.")
        raise typer.Exit(TIMED_OUT)
    if state.status is not RuntimeStatus.Completed:
        raise typer.Exit(1)


def _print_events(events: "list[dict[str, Any]]") -> None:
    print_table(
        ("Time (UTC)", "Event", "What"),
        [
            (event["Timestamp"].rstrip("Z")[:23].replace("T", " "), event["EventType"], event_summary(event))
            for event in events
        ],
        folds="What",
    )
