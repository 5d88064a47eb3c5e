"""The ``taskhub`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from taskhub.cli import dead, doctor, entities, hub, init, instances, new, start

app = typer.Typer(
    name="taskhub",
    help="Run Durable Functions apps in Python, and look into their task hubs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from taskhub.host.version import package_version

        typer.echo(f"taskhub {package_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command("init")(init.init)
app.command("new")(new.new)
app.command("start", cls=start.StartCommand)(start.start)
app.command("doctor")(doctor.doctor)
app.add_typer(instances.app, name="instances")
app.add_typer(entities.app, name="entities")
app.add_typer(hub.app, name="hub")
app.add_typer(dead.app, name="dead")


def main() -> None:
    """Run the command of this process's arguments."""
    app()


if __name__ == "__main__":
    main()
