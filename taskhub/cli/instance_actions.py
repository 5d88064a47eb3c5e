"""``taskhub instances``: the commands that change something."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taskhub.cli import values
from taskhub.cli.options import AppOption, AsJson, Hub, InstanceArgument, InstancesArgument, Storage, Yes
from taskhub.cli.output import fail, print_json, print_message
from taskhub.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskhub.client import TaskHubClient
    from taskhub.model.ids import InstanceId
    from taskhub.model.instance import InstanceState

Reason = Annotated[Optional[str], typer.Option("--reason", help="Kept with the instance.")]  # noqa: UP045


def register(app: typer.Typer) -> None:
    """Add the commands to their group, in the order of an instance's life."""
    app.command("start")(start)
    app.command("raise")(raise_event)
    app.command("terminate")(terminate)
    app.command("suspend")(suspend)
    app.command("resume")(resume)
    app.command("rewind")(rewind)
    app.command("restart")(restart)
    app.command("purge")(purge)


def start(
    name: Annotated[str, typer.Argument(metavar="ORCHESTRATOR", help="Name of the orchestrator.")],
    instance_id: Annotated[
        Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option("--id", help="Id of the new instance; by default a new one."),
    ] = None,
    given: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--input", metavar="JSON|@FILE", help="Input, as JSON or in a file."),
    ] = None,
    version: Annotated[Optional[str], typer.Option("--orchestration-version", help="Version to start.")] = None,  # noqa: UP045
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", metavar="TIME", help="When to begin: a time, or how long from now (30m, 12h, 7d)."),
    ] = None,
    tag: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--tag", metavar="NAME=VALUE", help="Tag of the instance; may be given several times."),
    ] = None,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Start an orchestration and print its id. A worker of the app runs it, now or when it is started."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.model.ids import InstanceId

    text = values.json_text(given, "--input")
    when = values.moment(at, "--at", is_ahead=True)
    tags = values.tags(tag)
    started = with_hub(
        HubOptions(app_dir, hub, storage),
        lambda client: client.start(
            name,
            instance_id=InstanceId(instance_id) if instance_id else None,
            input=text,
            version=version,
            scheduled_start=when,
            tags=tags or None,
        ),
        creates=True,
    )
    _print_id(started, as_json=as_json)


def raise_event(
    instance_id: InstanceArgument,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Name of the event.")],
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--data", metavar="JSON|@FILE", help="What comes with it, as JSON or in a file."),
    ] = None,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Send an event to an instance."""
    text = values.json_text(data, "--data")

    async def send(client: "TaskHubClient", instance_id: "InstanceId") -> None:
        await _live(client, instance_id, "take events")
        await client.raise_event(instance_id, event, text)

    _for_each([instance_id], (app_dir, hub, storage), send, f"is sent the event '{event}'")


def terminate(
    instance_ids: InstancesArgument,
    reason: Reason = None,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """End instances. Activities that run are not interrupted; what they return is dropped."""

    async def act(client: "TaskHubClient", instance_id: "InstanceId") -> None:
        await _live(client, instance_id, "be terminated")
        await client.terminate(instance_id, reason)

    _for_each(instance_ids, (app_dir, hub, storage), act, "will be terminated")


def suspend(
    instance_ids: InstancesArgument,
    reason: Reason = None,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Pause instances. What arrives meanwhile is kept."""
    from taskhub.model.instance import RuntimeStatus

    async def act(client: "TaskHubClient", instance_id: "InstanceId") -> None:
        state = await _live(client, instance_id, "be suspended")
        if state.status is RuntimeStatus.Suspended:
            fail(f"'{instance_id}' is suspended already.")
        await client.suspend(instance_id, reason)

    _for_each(instance_ids, (app_dir, hub, storage), act, "will be suspended")


def resume(
    instance_ids: InstancesArgument,
    reason: Reason = None,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Let paused instances go on."""
    from taskhub.model.instance import RuntimeStatus

    async def act(client: "TaskHubClient", instance_id: "InstanceId") -> None:
        state = await _live(client, instance_id, "be resumed")
        if state.status is not RuntimeStatus.Suspended:
            fail(f"'{instance_id}' is not suspended but {_status(state)}.")
        await client.resume(instance_id, reason)

    _for_each(instance_ids, (app_dir, hub, storage), act, "will be resumed")


def rewind(
    instance_ids: InstancesArgument,
    reason: Reason = None,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Let failed instances do again what failed in them; what completed keeps its result."""

    async def act(client: "TaskHubClient", instance_id: "InstanceId") -> None:
        await client.rewind(instance_id, reason)

    _for_each(instance_ids, (app_dir, hub, storage), act, "is rewound")


def restart(
    instance_id: InstanceArgument,
    same_id: Annotated[
        bool, typer.Option("--same-id", help="Under the same id, in place of the instance, which must have ended.")
    ] = False,
    new_id: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--new-id", metavar="ID", help="Id of the new instance; by default a new one."),
    ] = None,
    version: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--orchestration-version", help="Version to start; by default the app's."),
    ] = None,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Start an orchestration anew, with the input and tags of an instance, and print the new id."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.model.ids import InstanceId

    if same_id and new_id:
        raise typer.BadParameter("--same-id and --new-id exclude each other")

    async def act(client: "TaskHubClient") -> "InstanceId":
        state = await _existing(client, InstanceId(instance_id))
        return await client.restart(
            state, with_new_id=not same_id, new_id=InstanceId(new_id) if new_id else None, version=version
        )

    _print_id(with_hub(HubOptions(app_dir, hub, storage), act), as_json=as_json)


def purge(
    instance_ids: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[ID]...", help="Ids of the instances.", show_default=False),
    ] = None,
    status: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--status", help="Those that ended so, separated by commas: Completed, Failed …"),
    ] = None,
    prefix: Annotated[Optional[str], typer.Option("--prefix", help="Those whose ids begin so.")] = None,  # noqa: UP045
    after: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--after", metavar="TIME", help=f"Those created since then. {values.TIME_HELP}"),
    ] = None,
    before: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--before", metavar="TIME", help="Those created until then."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that have ended.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With ids: also instances that have not ended.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Delete all that is stored of instances: those named, or those that have ended and match."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.model.ids import InstanceId
    from taskhub.model.instance import InstanceFilter

    has_filter = any(each is not None for each in (status, prefix, after, before))
    if bool(instance_ids) + (has_filter or everything) != 1:
        raise typer.BadParameter("Name instances, or say which: --status, --prefix, --after, --before, --all.")
    options = HubOptions(app_dir, hub, storage)
    if instance_ids:
        ids = [InstanceId(each) for each in instance_ids]
        removed = with_hub(options, lambda client: _purge_named(client, ids, force=force))
    else:
        wanted = InstanceFilter(
            created_from=values.moment(after, "--after"),
            created_to=values.moment(before, "--before"),
            statuses=values.statuses(status),
            id_prefix=prefix,
        )
        if not yes:
            typer.confirm("Delete all that is stored of those instances?", abort=True, err=True)
        with progress("Purging", "instances") as advance:
            removed = with_hub(options, lambda client: client.purge_ended(wanted, progress=advance)).instances
    if as_json:
        print_json({"instancesDeleted": removed})
    else:
        typer.echo(f"{removed} {'instance' if removed == 1 else 'instances'} purged.")


async def _purge_named(client: "TaskHubClient", ids: "list[InstanceId]", *, force: bool) -> int:
    removed = 0
    with progress("Purging", "instances", total=len(ids)) as advance:
        for instance_id in ids:
            state = await _existing(client, instance_id)
            is_over = instance_id.startswith("@") or (state.status is not None and state.status.is_terminal)
            if not is_over and not force:
                fail(f"'{instance_id}' is {_status(state)}. Terminate it first, or say --force.")
            removed += await client.purge(instance_id)
            advance(1)
    return removed


# ---- what the commands share


def _for_each(
    instance_ids: "list[str]",
    where: "tuple[Path, str | None, str | None]",
    act: "Callable[[TaskHubClient, InstanceId], Awaitable[None]]",
    done: str,
) -> None:
    """Do something with each instance in turn, and say so."""
    from taskhub.cli.hub_access import HubOptions, with_hub
    from taskhub.model.ids import InstanceId

    async def all_of_them(client: "TaskHubClient") -> None:
        for instance_id in map(InstanceId, instance_ids):
            await act(client, instance_id)
            print_message(f"'{instance_id}' {done}.")

    options: HubOptions = HubOptions(*where)
    with_hub(options, all_of_them)


async def _existing(client: "TaskHubClient", instance_id: "InstanceId") -> "InstanceState":
    state = await client.get(instance_id)
    if state is None:
        fail(f"No instance has the id '{instance_id}' in this task hub.")
    return state


async def _live(client: "TaskHubClient", instance_id: "InstanceId", what: str) -> "InstanceState":
    state = await _existing(client, instance_id)
    if state.status is not None and state.status.is_terminal:
        fail(f"'{instance_id}' is {_status(state)} and cannot {what}.")
    return state


def _status(state: "InstanceState") -> str:
    return state.status.name if state.status else "of an unknown status"


def _print_id(instance_id: Any, *, as_json: bool) -> None:
    if as_json:
        print_json({"instanceId": instance_id})
    else:
        typer.echo(instance_id)
