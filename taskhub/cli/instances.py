"""``taskhub instances``: look at the instances of a task hub without running its app."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taskhub.cli.options import AppOption, AsJson, Hub, Storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from taskhub.client import TaskHubClient
    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import Utc
    from taskhub.model.instance import InstanceFilter, InstanceState

app = typer.Typer(help="Look at the instances of a task hub.", no_args_is_help=True)

_PAGE = 100
_COLOURS = {"Completed": "green", "Failed": "red", "Terminated": "yellow", "Suspended": "yellow", "Running": "cyan"}
_LONGEST_VALUE = 200
_PIPE_WIDTH = 4096


@app.command("list")
def list_instances(
    status: Annotated[
        Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option("--status", help="Only these, separated by commas: Running, Failed …"),
    ] = None,
    prefix: Annotated[Optional[str], typer.Option("--prefix", help="Only ids that begin so.")] = None,  # noqa: UP045
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

    wanted = InstanceFilter(statuses=_statuses(status), id_prefix=prefix)
    found, more = with_hub(HubOptions(app_dir, hub, storage), lambda client: _read(client, wanted, top))
    if as_json:
        _print_json([status_json(state, show_input=True) for state in found])
    else:
        _print_table(found, is_cut=more)


async def _read(client: "TaskHubClient", wanted: "InstanceFilter", top: int) -> "tuple[list[InstanceState], bool]":
    found: list[Any] = []
    token = None
    while True:
        page = await client.query(wanted, top=min(_PAGE, top - len(found)), token=token)
        found += page.instances
        token = page.token
        if token is None or len(found) >= top:
            return found, token is not None


@app.command("show")
def show_instance(
    instance_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the instance.")],
    history: Annotated[bool, typer.Option("--history", help="Show its events too.")] = False,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Show one instance: state, input, output, and with --history what happened."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.host.history_view import history_json
    from taskhub.host.routes import status_json
    from taskhub.model.ids import InstanceId

    async def read(client: "TaskHubClient") -> "tuple[InstanceState | None, Sequence[HistoryEvent]]":
        state = await client.get(InstanceId(instance_id))
        return state, await client.history(InstanceId(instance_id)) if state is not None and history else ()

    state, events = with_hub(HubOptions(app_dir, hub, storage), read)
    if state is None:
        typer.secho(f"No instance has the id '{instance_id}' in this task hub.", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    shown = status_json(state, show_input=True)
    if history:
        shown["historyEvents"] = history_json(events, show_input=True, show_output=True)
    if as_json:
        _print_json(shown)
    else:
        _print_instance(shown)


def _statuses(text: str | None) -> Any:
    from taskhub.model.instance import RuntimeStatus

    known = {status.name.lower(): status for status in RuntimeStatus}
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise typer.BadParameter(f"'{unknown[0]}' is no status; there are {', '.join(RuntimeStatus.__members__)}.")
    return frozenset(known[name.lower()] for name in names)


# ---- output


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _console() -> "Console":
    from rich.console import Console

    console = Console()
    # Into a pipe or a file nothing is cut or folded: programs such as grep read whole lines.
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def _print_table(found: "list[InstanceState]", *, is_cut: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("Instance", "Orchestrator", "Status", "Created (UTC)", "Last updated (UTC)"):
        table.add_column(title, no_wrap=title != "Orchestrator", overflow="fold")
    for state in found:
        name = state.status.name if state.status else "Unknown"
        table.add_row(
            Text(state.instance_id),
            Text(state.name or ""),
            Text(name, style=_COLOURS.get(name, "")),
            _time(state.created),
            _time(state.last_updated),
        )
    console = _console()
    console.print(table if found else "This task hub has no such instances.")
    if is_cut:
        console.print(f"There are more than these {len(found)}; --top shows more of them.")


def _time(time: "Utc | None") -> str:
    return "" if time is None else time[:19].replace("T", " ")


def _print_instance(shown: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = _console()
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in shown.items():
        if key != "historyEvents":
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            style = _COLOURS.get(text, "") if key == "runtimeStatus" else ""
            table.add_row(Text(key, style="bold"), Text(text, style=style))
    console.print(table)
    events = shown.get("historyEvents")
    if events is None:
        return
    console.print()
    table = Table(box=None, pad_edge=False)
    for title in ("Time (UTC)", "Event", "What"):
        table.add_column(title, no_wrap=title != "What", overflow="fold")
    for event in events:
        when = event["Timestamp"].rstrip("Z")[:23].replace("T", " ")
        table.add_row(when, event["EventType"], Text(_summary(event)))
    console.print(table)


def _summary(event: dict[str, Any]) -> str:
    """Return what an event is about, in one line: whose it is, and its most telling value."""
    name = event.get("FunctionName") or event.get("Name") or ""
    key = next((key for key in _TELLING if event.get(key) is not None), None)
    value = "" if key is None else event[key]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.splitlines()[0] if text else ""
    cut = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
    return f"{name}: {cut}" if name and cut else name or cut


_TELLING = ("Result", "Reason", "FireAt", "Input", "OrchestrationStatus", "Data")
"""Keys whose value says most about an event, the first that is there."""
