"""``taskhub doctor``: what is stuck, lost, orphaned or disagreeing in a hub, and repairing it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskhub.cli.options import AppOption, AsJson, Hub, Storage, Yes
from taskhub.cli.output import print_json
from taskhub.cli.progress import progress

if TYPE_CHECKING:
    from taskhub.client import TaskHubClient
    from taskhub.model.diagnosis import Examination, Finding


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Do what can be done, after a question.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what --repair would do; so it is without --repair.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
    app_dir: AppOption = Path(),
    hub: Hub = None,
    storage: Storage = None,
) -> None:
    """Look over a task hub, also one at work and one of .NET workers, and tell what is wrong with it.

    Ends with 0 when nothing is wrong, or all that was is repaired; else with 1.
    """
    from taskhub.cli.hub_access import HubOptions, with_hub

    options = HubOptions(app_dir, hub, storage)
    with progress("Looking", "rows and messages") as advance:
        found = with_hub(options, lambda client: client.examine(progress=advance))
    wanted = [each for each in found.findings if each.remedy is not None]
    if not as_json:
        _print(found, is_plan=not repair or dry_run)
    done: dict[int, str | None] = {}
    if repair and not dry_run and wanted:
        if not yes and (as_json or not sys.stdin.isatty()):
            raise typer.BadParameter("needs --yes where nobody can be asked.", param_hint="--repair")
        if not yes:
            typer.confirm(f"Do this ({len(wanted)})?", abort=True, err=True)

        async def act(client: "TaskHubClient") -> dict[int, str | None]:
            with progress("Repairing", "findings", total=len(wanted)) as advance:
                refusals: dict[int, str | None] = {}
                for each in wanted:
                    refusals[id(each)] = await client.repair(each)
                    advance(1)
            return refusals

        done = with_hub(options, act)
        if not as_json:
            for each in wanted:
                _print_done(each, done[id(each)])
    if as_json:
        print_json(_json(found, done))
    if any(id(each) not in done or done[id(each)] is not None for each in found.problems):
        raise typer.Exit(1)


def _print(found: "Examination", *, is_plan: bool) -> None:
    if not found.exists:
        typer.echo(f"There is no task hub '{found.hub}' in {found.storage}.")
        return
    workers = f"{len(found.workers)} at work" if found.workers else "none at work"
    typer.echo(
        f"Task hub '{found.hub}' in {found.storage}: {found.instances} instances, {found.entities} entities, "
        f"{found.messages} messages; workers: {workers}."
    )
    for each in found.unseen:
        typer.echo(f"Not looked at: {each}.")
    if not found.findings:
        typer.secho("Nothing is wrong.", fg=typer.colors.GREEN)
        return
    for finding in found.findings:
        colour = typer.colors.RED if finding in found.problems else typer.colors.YELLOW
        typer.echo()
        typer.secho(f"{finding.severity.value}  {finding.kind}  {finding.subject}", fg=colour)
        typer.echo(f"    {finding.text}")
        if finding.remedy is not None:
            typer.echo(f"    {'--repair would' if is_plan else 'To be done:'} {finding.remedy.text}.")
    notices = len(found.findings) - len(found.problems)
    typer.echo(f"\n{len(found.problems)} problems, {notices} notices.")


def _print_done(finding: "Finding", refusal: str | None) -> None:
    assert finding.remedy is not None
    if refusal is None:
        typer.secho(f"Done: {finding.remedy.text}.", fg=typer.colors.GREEN)
    else:
        typer.secho(f"Left: {finding.remedy.text}: {refusal}.", fg=typer.colors.YELLOW)


def _json(found: "Examination", done: "dict[int, str | None]") -> dict[str, Any]:
    return {
        "hub": found.hub,
        "storage": found.storage,
        "exists": found.exists,
        "workers": list(found.workers),
        "instances": found.instances,
        "entities": found.entities,
        "messages": found.messages,
        "unseen": list(found.unseen),
        "findings": [
            {
                "kind": each.kind,
                "severity": each.severity.value,
                "subject": each.subject,
                "text": each.text,
                "remedy": each.remedy.text if each.remedy else None,
                "repaired": done.get(id(each), "") is None,
                "refusal": done.get(id(each)),
            }
            for each in found.findings
        ],
    }
