"""``taskhub start``."""

import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from taskhub.cli.options import Hub, Storage
from taskhub.errors import ConfigurationError
from taskhub.host.app_environment import enter_environment, find_environment
from taskhub.host.imports import importing
from taskhub.host.official_sdk import SdkChoice, use_sdk
from taskhub.host.place import app_root_of

_FUNCTIONS = "--functions"


class StartCommand(TyperCommand):
    """Takes all words after ``--functions``, up to the next option, as names: so ``func start`` is told them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line."""
        return super().parse_args(ctx, _with_an_option_for_each_name(args))


def _with_an_option_for_each_name(words: list[str]) -> list[str]:
    found: list[str] = []
    is_name = False
    for word in words:
        if word == _FUNCTIONS:
            is_name = True
        elif word.startswith("-"):
            is_name = False
            found.append(word)
        else:
            found += [_FUNCTIONS, word] if is_name else [word]
    return found if _FUNCTIONS in found or _FUNCTIONS not in words else [*found, _FUNCTIONS]  # without names: an error


def start(
    app_dir: Annotated[
        Optional[Path],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Argument(
            help="Folder of the function app; in a container laid out as Azure's, the one that AzureWebJobsScriptRoot "
            "names.",
            show_default=".",
        ),
    ] = None,
    port: Annotated[
        Optional[int],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option("--port", "-p", min=0, max=65535, help="Port of the HTTP server (7071); 0 takes any free one."),
    ] = None,
    address: Annotated[
        Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option(
            "--address",
            help="Address to listen on; 0.0.0.0 for other machines too, which then need keys.",
            show_default="127.0.0.1",
        ),
    ] = None,
    auth: Annotated[
        Optional[bool],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option(
            "--enable-auth/--no-auth",
            "--enableAuth",
            help="Ask for keys as a deployed app does; by default when other machines can reach the host.",
            show_default=False,
        ),
    ] = None,
    cors: Annotated[
        Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
        typer.Option(
            "--cors", help="Origins whose pages may read answers, separated by commas; * for all.", show_default=False
        ),
    ] = None,
    cors_credentials: Annotated[
        bool, typer.Option("--cors-credentials", help="Let their requests carry cookies.")
    ] = False,
    functions: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            _FUNCTIONS,
            metavar="NAME...",
            help="Load only these functions of the app; what needs another one fails meanwhile.",
            show_default=False,
        ),
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
    sdk: Annotated[
        SdkChoice,
        typer.Option(
            "--sdk",
            help="Durable Functions SDK to run the app on: the first that its environment has (auto), ours (own), or "
            "azure-functions-durable (official); own-json is ours by the JSON protocol.",
        ),
    ] = SdkChoice.AUTO,
    watch: Annotated[
        bool, typer.Option("--watch", help="Load the app anew when its code changes; instances go on.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the host's own messages too.")] = False,
) -> None:
    """Run a function app until Ctrl+C: its HTTP triggers, its orchestrations, the management API."""
    app_dir = app_dir or app_root_of(os.environ)
    environment = find_environment(app_dir.resolve(), os.environ)
    enter_environment(environment.folders)
    if environment.warning is not None:
        typer.secho(environment.warning, fg=typer.colors.YELLOW, err=True)
    with importing():
        try:
            used = use_sdk(sdk)
        except ConfigurationError as error:
            typer.secho(str(error), fg=typer.colors.RED, err=True)
            raise typer.Exit(1) from None
        from taskhub.host.heir import Heir

        heir = Heir.of(os.environ)
        from taskhub.host.process import HostOptions, run_host  # needs an SDK

    options = HostOptions(
        app_dir,
        used,
        sdk_choice=sdk,
        port=port,
        address=address,
        auth=auth,
        cors=cors,
        cors_credentials=cors_credentials,
        functions=tuple(functions) if functions else None,
        hub=hub,
        storage=storage,
        verbose=verbose,
        workers=workers,
        watch=watch,
        heir=heir,
    )
    raise typer.Exit(run_host(options))
