"""``taskhub entities``: look at the entities of a hub, and signal them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taskhub.cli import values
from taskhub.cli.options import AppOption, AsJson, Hub, Storage
from taskhub.cli.output import console, fail, print_json, print_message, print_table, print_values, time_text

if TYPE_CHECKING:
    from taskhub.client import TaskHubClient
    from taskhub.model.entities import EntityId, EntityState

app = typer.Typer(help="Look at the entities of a task hub, and signal them.", no_args_is_help=True)

_PAGE = 100

EntityName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the entity, as the app has it.")]
EntityKey = Annotated[str, typer.Argument(metavar="KEY", help="Key of the entity.")]


@app.command("list")
def list_entities(
    name: Annotated[Optional[str], typer.Option("--name", help="Only entities of this name.")] = None,  # noqa: UP045
    after: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--after", metavar="TIME", help=f"Only those used since then. {values.TIME_HELP}"),
    ] = None,
    before: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--before", metavar="TIME", help="Only those last used until then."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Most entities to show.")] = 100,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """List the entities of a task hub that exist, in order of their ids, with their states."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    since, until = values.moment(after, "--after"), values.moment(before, "--before")

    async def read(client: "TaskHubClient") -> "tuple[list[EntityState], bool]":
        found: list[EntityState] = []
        token = None
        while True:
            page = await client.list_entities(
                name,
                operated_from=since,
                operated_to=until,
                top=min(_PAGE, top - len(found)),
                token=token,
                with_state=True,
            )
            found += page.entities
            token = page.token
            if token is None or len(found) >= top:
                return found, token is not None

    found, more = with_hub(HubOptions(app_dir, hub, storage), read)
    if as_json:
        print_json([_summary(each) for each in found])
        return
    if found:
        print_table(
            ("Name", "Key", "Last operation (UTC)", "Waiting", "Locked by", "State"),
            [
                (
                    each.id.name,
                    each.id.key,
                    time_text(each.last_operation),
                    str(each.queue_size or ""),
                    each.locked_by or "",
                    each.state or "",
                )
                for each in found
            ],
            folds="State",
        )
    else:
        console().print("This task hub has no such entities.")
    if more:
        console().print(f"There are more than these {len(found)}; --top shows more of them.")


@app.command("show")
def show_entity(
    name: EntityName,
    key: EntityKey,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Show one entity: its state, operations that wait, and who has locked it."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    entity = _entity(name, key)
    state = with_hub(HubOptions(app_dir, hub, storage), lambda client: client.read_entity(entity))
    if state is None:
        fail(f"No entity '{name}' has the key '{key}' in this task hub.")
    shown = _summary(state)
    if as_json:
        print_json(shown)
    else:
        print_values(shown)


@app.command("signal")
def signal_entity(
    name: EntityName,
    key: EntityKey,
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="Name of the operation.")],
    given: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--input", metavar="JSON|@FILE", help="Input of the operation, as JSON or in a file."),
    ] = None,
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", metavar="TIME", help="When to run it: a time, or how long from now (30m, 12h, 7d)."),
    ] = None,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Ask an entity for an operation, without an answer. It need not exist; a worker of the app runs it."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    entity = _entity(name, key)
    content = values.json_text(given, "--input")
    due = values.moment(at, "--at", is_ahead=True)
    with_hub(
        HubOptions(app_dir, hub, storage),
        lambda client: client.signal_entity(entity, operation, content, due=due),
        creates=True,
    )
    if as_json:
        print_json({"entityId": {"name": entity.name, "key": entity.key}, "operation": operation, "due": due})
    else:
        print_message(f"Signalled '{operation}' to entity '{entity.name}' with key '{entity.key}'.")


def _entity(name: str, key: str) -> "EntityId":
    from taskhub.model.entities import EntityId

    return EntityId.of(name, key)


def _summary(state: "EntityState") -> dict[str, Any]:
    import json

    try:
        value = None if state.state is None else json.loads(state.state)
    except ValueError:  # another runtime's, which need not be JSON
        value = state.state
    return {
        "name": state.id.name,
        "key": state.id.key,
        "exists": state.exists,
        "lastOperationTime": state.last_operation,
        "queueSize": state.queue_size,
        "lockedBy": state.locked_by,
        "state": value,
    }
