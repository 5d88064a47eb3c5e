"""``taskhub start``."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from taskhub.cli.options import Hub, Storage


def start(
    app_dir: Annotated[Path, typer.Argument(help="Folder of the function app.", show_default=True)] = Path(),
    port: Annotated[
        Optional[int],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option("--port", "-p", min=0, max=65535, help="Port of the HTTP server (7071); 0 takes any free one."),
    ] = None,
    hub: Hub = None,
    storage: Storage = None,
    workers: Annotated[
        Optional[int],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option(
            "--workers",
            "-w",
            min=1,
            max=64,
            help="Worker processes that share the task hub; one, in the host's own process, unless "
            "FUNCTIONS_WORKER_PROCESS_COUNT says more.",
            show_default=False,
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the host's own messages too.")] = False,
) -> None:
    """Run a function app until Ctrl+C: its HTTP triggers, its orchestrations, the management API."""
    from taskhub.host.official_sdk import find_clash

    clash = find_clash()
    if clash is not None and not clash.is_ours:
        typer.secho(str(clash), fg=typer.colors.RED, err=True)
        raise typer.Exit(1)
    from taskhub.host.process import HostOptions, run_host  # needs our SDK

    options = HostOptions(app_dir, port=port, hub=hub, storage=storage, verbose=verbose, workers=workers)
    raise typer.Exit(run_host(options))
