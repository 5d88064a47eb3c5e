"""The ``taskhub`` command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _print_version(wanted: bool) -> None:
    if wanted:
        from taskhub.host.version import package_version

        typer.echo(f"taskhub {package_version()}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _init(app: typer.Typer) -> None:
    from taskhub.cli.init import init

    app.command("init")(init)


def _new(app: typer.Typer) -> None:
    from taskhub.cli.new import new

    app.command("new")(new)


def _start(app: typer.Typer) -> None:
    from taskhub.cli.start import StartCommand, start

    app.command("start", cls=StartCommand)(start)


def _doctor(app: typer.Typer) -> None:
    from taskhub.cli.doctor import doctor

    app.command("doctor")(doctor)


def _instances(app: typer.Typer) -> None:
    from taskhub.cli import instances

    app.add_typer(instances.app, name="instances")


def _entities(app: typer.Typer) -> None:
    from taskhub.cli import entities

    app.add_typer(entities.app, name="entities")


def _hub(app: typer.Typer) -> None:
    from taskhub.cli import hub

    app.add_typer(hub.app, name="hub")


def _dead(app: typer.Typer) -> None:
    from taskhub.cli import dead

    app.add_typer(dead.app, name="dead")


def _durable(app: typer.Typer) -> None:
    from taskhub.cli import durable

    app.add_typer(durable.app, name="durable")


_COMMANDS: Mapping[str, Callable[[typer.Typer], None]] = {
    "init": _init,
    "new": _new,
    "start": _start,
    "doctor": _doctor,
    "instances": _instances,
    "entities": _entities,
    "hub": _hub,
    "dead": _dead,
    "durable": _durable,
}
"""By name, what adds a command, in the order of the help."""


def application(name: str | None = None) -> typer.Typer:
    """Return the command.

    Args:
        name: of the only subcommand that will be asked for: the others, each with modules and options of its own, are
            left out. All are there when it is none of theirs, as in ``--help``, a mistake, or a shell that completes.
    """
    app = typer.Typer(
        name="taskhub",
        help="Run Durable Functions apps in Python, and look into their task hubs.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    wanted = _COMMANDS.get(name or "")
    for add in _COMMANDS.values() if wanted is None else (wanted,):
        add(app)
    return app


def main() -> None:
    """Run the command of this process's arguments."""
    application(sys.argv[1] if len(sys.argv) > 1 else None)()


if __name__ == "__main__":
    main()
