"""``taskhub dead``: messages that nobody could work on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from taskhub.cli.options import AppOption, AsJson, Hub, Storage, Yes
from taskhub.cli.output import fail, print_json, print_message, print_table, print_values, time_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.client import TaskHubClient
    from taskhub.model.dead_letters import DeadLetter

app = typer.Typer(
    help="Look at messages that were parked because nobody could work on them, and put them back or drop them.",
    no_args_is_help=True,
)

Letter = Annotated[str, typer.Argument(metavar="ID", help="Id of the dead letter.")]
Letters = Annotated[
    Optional[list[str]],  # noqa: UP045 (typer evaluates it on 3.10)
    typer.Argument(metavar="[ID]...", help="Ids of the dead letters.", show_default=False),
]
Everything = Annotated[bool, typer.Option("--all", help="All of them, in place of ids.")]
Instance = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--instance", metavar="ID", help="Only those for this instance."),
]


@app.command("list")
def list_letters(
    instance: Instance = None,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """List the dead letters of a hub, the oldest message first."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    letters = with_hub(HubOptions(app_dir, hub, storage), lambda client: client.dead_letters())
    letters = [each for each in letters if instance is None or _instance_of(each) == instance]
    if as_json:
        print_json([_summary(each) for each in letters])
    elif not letters:
        print_message("There are no dead letters.")
    else:
        print_table(
            ("Id", "Parked (UTC)", "Queue", "Reads", "Instance", "What", "Reason"),
            [
                (
                    each.id,
                    time_text(each.parked),
                    each.queue,
                    str(each.dequeue_count),
                    _instance_of(each) or "?",
                    _what(each),
                    each.reason,
                )
                for each in letters
            ],
            folds="Reason",
        )


@app.command("show")
def show_letter(
    letter_id: Letter,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Show a dead letter: why it was parked, who was told, and the message itself."""
    from taskhub.cli.hub_access import HubOptions, with_hub

    async def read(client: "TaskHubClient") -> "tuple[DeadLetter, str | None]":
        letter = await client.dead_letter(letter_id)
        return letter, await client.dead_letter_content(letter)

    letter, content = with_hub(HubOptions(app_dir, hub, storage), read)
    shown = {**_summary(letter), "text": letter.text}
    if letter.blob_name is not None:
        shown["blobName"] = letter.blob_name
        shown["content"] = content
    if as_json:
        print_json(shown)
    else:
        print_values({_TITLES.get(key, key): _pretty(key, value) for key, value in shown.items() if value is not None})


@app.command("retry")
def retry_letters(
    letter_ids: Letters = None,
    everything: Everything = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Put dead letters back into their queues, as if they had never been read."""

    async def retry(client: "TaskHubClient", letter_id: str) -> None:
        letter = await client.retry_dead_letter(letter_id)
        print_message(f"{letter_id} is back in the queue {letter.queue}.")

    _for_each(letter_ids, (app_dir, hub, storage), retry, everything=everything)


@app.command("drop")
def drop_letters(
    letter_ids: Letters = None,
    everything: Everything = False,
    yes: Yes = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Delete dead letters for good."""
    if everything and not yes:
        typer.confirm("Delete all dead letters of this task hub?", abort=True, err=True)

    async def drop(client: "TaskHubClient", letter_id: str) -> None:
        await client.drop_dead_letter(letter_id)
        print_message(f"{letter_id} is dropped.")

    _for_each(letter_ids, (app_dir, hub, storage), drop, everything=everything)


# ---- what the commands share


def _for_each(
    letter_ids: "Sequence[str] | None",
    where: "tuple[Path, str | None, str | None]",
    act: "Callable[[TaskHubClient, str], Awaitable[None]]",
    *,
    everything: bool,
) -> None:
    from taskhub.cli.hub_access import HubOptions, with_hub

    if bool(letter_ids) == everything:
        raise typer.BadParameter("Name dead letters, or say --all.")

    async def all_of_them(client: "TaskHubClient") -> int:
        ids = letter_ids or [each.id for each in await client.dead_letters()]
        for letter_id in ids:
            await act(client, letter_id)
        return len(ids)

    if not with_hub(HubOptions(*where), all_of_them):
        fail("There are no dead letters.")


def _instance_of(letter: "DeadLetter") -> str | None:
    return letter.address.instance_id if letter.address else None


def _what(letter: "DeadLetter") -> str:
    if letter.address is None:
        return "cannot be read"
    return f"{letter.address.event_type} {letter.address.name or ''}".rstrip()


def _summary(letter: "DeadLetter") -> dict[str, Any]:
    address = letter.address
    return {
        "id": letter.id,
        "messageId": letter.message_id,
        "queue": letter.queue,
        "instanceId": _instance_of(letter),
        "executionId": address.execution_id if address else None,
        "eventType": address.event_type if address else None,
        "name": address.name if address else None,
        "taskId": address.task_id if address else None,
        "reason": letter.reason,
        "told": letter.told,
        "dequeueCount": letter.dequeue_count,
        "inserted": letter.inserted,
        "parked": letter.parked,
    }


def _pretty(key: str, value: Any) -> str:
    if key not in ("text", "content"):
        return str(value)
    try:
        return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        return str(value)


_TITLES = {
    "id": "Id",
    "messageId": "Message id",
    "queue": "Queue",
    "instanceId": "Instance",
    "executionId": "Execution",
    "eventType": "What",
    "name": "Name",
    "taskId": "Task",
    "reason": "Reason",
    "told": "Told of it",
    "dequeueCount": "Reads",
    "inserted": "Sent (UTC)",
    "parked": "Parked (UTC)",
    "text": "Message",
    "blobName": "Blob",
    "content": "Content",
}
