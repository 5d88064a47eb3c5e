"""``taskhub hub``: a task hub as a whole."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from taskhub.cli.options import AppOption, AsJson, Hub, Storage, Yes
from taskhub.cli.output import console, fail, print_json, print_message, print_table, time_text
from taskhub.cli.progress import counted_lines, progress

if TYPE_CHECKING:
    from taskhub.model.hub import HubContents, HubStatus

app = typer.Typer(help="Make, look at, move and delete task hubs.", no_args_is_help=True)


@app.command("create")
def create_hub(app_dir: AppOption = Path(), hub: Hub = None, storage: Storage = None) -> None:
    """Make the queues, tables and containers of a hub, unless they exist. Starting the app does the same."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.client import TaskHubClient

    async def create(client: TaskHubClient) -> "HubStatus":
        await client.create_hub()
        return await client.hub_status(count_instances=False)

    status = with_hub(HubOptions(app_dir, hub, storage), create, creates=True)
    print_message(f"Task hub '{status.hub}' is kept in {status.storage}, with {len(status.partitions)} partitions.")


@app.command("status")
def show_hub(
    no_instances: Annotated[
        bool, typer.Option("--no-instances", help="Do not count instances, which reads through all of them.")
    ] = False,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Show the partitions of a hub and who works on them, what waits, and how many instances there are."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    status = with_hub(
        HubOptions(app_dir, hub, storage), lambda client: client.hub_status(count_instances=not no_instances)
    )
    if not status.exists:
        fail(f"There is no task hub '{status.hub}' in {status.storage}.")
    if as_json:
        print_json(_status_json(status, with_instances=not no_instances))
    else:
        _print_status(status, with_instances=not no_instances)


@app.command("delete")
def delete_hub(
    force: Annotated[bool, typer.Option("--force", help="Also while workers work on it.")] = False,
    yes: Yes = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Delete a hub with everything in it."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    options = HubOptions(app_dir, hub, storage)
    status = with_hub(options, lambda client: client.hub_status(count_instances=not yes))
    if not yes:
        held = sum(status.instances.values()) + status.entities
        typer.confirm(
            f"Delete task hub '{status.hub}' in {status.storage}, with {held} instances?", abort=True, err=True
        )
    if with_hub(options, lambda client: client.delete_hub(force=force)):
        print_message(f"Task hub '{status.hub}' is deleted.")
    else:
        fail(f"There is no task hub '{status.hub}' in {status.storage}.")


@app.command("dump")
def dump_hub(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="Where to write; - is standard output.", show_default=False)
    ] = Path("-"),
    force: Annotated[
        bool, typer.Option("--force", help="Also while workers work on it; then the dump may not fit together.")
    ] = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Write a whole hub as lines of JSON, to look at or to load elsewhere. Its workers must be stopped."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    with _output(file) as stream, progress("Dumping", "rows, blobs and messages") as advance:

        def write(line: str) -> None:
            stream.write(line + "\n")
            advance(1)

        summary = with_hub(HubOptions(app_dir, hub, storage), lambda client: client.dump_hub(write, force=force))
    print_message(f"{_counts(summary.contents)} dumped.")
    if summary.unread:
        print_message(
            f"About {summary.unread} more messages are hidden and cannot be read. Most are timers of instances that "
            "ended, which do nothing; others are held by a worker that did not stop in order, for minutes at most."
        )


@app.command("load")
def load_hub(
    file: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="A dump; - is standard input.", show_default=False)
    ] = Path("-"),
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Fill an empty hub with a dump, whatever store, name and number of partitions it comes from."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    with _input(file) as stream, counted_lines("Loading", file, stream) as lines:
        contents = with_hub(HubOptions(app_dir, hub, storage), lambda client: client.load_hub(lines), creates=True)
    print_message(f"{_counts(contents)} loaded.")


@contextmanager
def _output(file: Path) -> Iterator[TextIO]:
    """Open what a dump goes to. A file gets its name when the dump is whole."""
    if str(file) == "-":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a stream of the system has it
        yield sys.stdout
        return
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        unfinished.replace(file)
    except OSError as error:
        fail(f"Cannot write {file}: {error}")
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _input(file: Path) -> Iterator[TextIO]:
    if str(file) == "-":
        sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a stream of the system has it
        yield sys.stdin
        return
    try:
        stream = file.open(encoding="utf-8", newline="\n")
    except OSError as error:
        fail(f"Cannot read {file}: {error}")
    with stream:
        yield stream


def _counts(contents: "HubContents") -> str:
    return f"{contents.rows} rows, {contents.blobs} blobs and {contents.messages} messages"


def _status_json(status: "HubStatus", *, with_instances: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "taskHub": status.hub,
        "storage": status.storage,
        "workers": list(status.workers),
        "workItems": status.work_items,
        "deadLetters": status.dead_letters,
        "partitions": [
            {
                "queue": each.queue,
                "messages": each.messages,
                "owner": each.owner,
                "nextOwner": each.next_owner,
                "isHeld": each.is_held,
                "expiresAt": each.expires_at,
            }
            for each in status.partitions
        ],
    }
    if with_instances:
        shown["instances"] = dict(_instances(status))
        shown["entities"] = status.entities
    return shown


def _instances(status: "HubStatus") -> list[tuple[str, int]]:
    named = ((key.name if key else "Unknown", count) for key, count in status.instances.items())
    return sorted(named, key=lambda each: each[0])


def _print_status(status: "HubStatus", *, with_instances: bool) -> None:
    out = console()
    out.print(f"Task hub {status.hub} in {status.storage}", highlight=False)
    out.print()
    print_table(
        ("Partition", "Messages", "Owner", "Until (UTC)"),
        [(each.queue, str(each.messages), _owner(each), time_text(each.expires_at)) for each in status.partitions],
        folds="Owner",
    )
    out.print()
    out.print(f"Activities waiting or running: {status.work_items}", highlight=False)
    if status.dead_letters:
        out.print(f"Dead letters: {status.dead_letters} (taskhub dead list)", highlight=False)
    if with_instances:
        counts = ", ".join(f"{count} {name}" for name, count in _instances(status)) or "none"
        out.print(f"Orchestrations: {counts}", highlight=False)
        out.print(f"Entities: {status.entities}", highlight=False)


def _owner(partition: Any) -> str:
    if partition.owner is None:
        return "nobody"
    owner = partition.owner if partition.is_held else f"{partition.owner} (lease has ended)"
    return f"{owner} → {partition.next_owner}" if partition.next_owner else owner
