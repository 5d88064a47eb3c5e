"""``taskhub init``: a new app that runs."""

from pathlib import Path
from typing import Annotated

import typer

from taskhub.cli.output import fail

_KEPT = (".gitignore", ".funcignore", ".vscode/extensions.json", "requirements.txt")
"""Files that may be there already, and then are better than ours."""


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the new app.")] = Path(),
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="v1|v2", help="v2: decorators in function_app.py; v1: a folder for each function."
        ),
    ] = "v2",
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Make a function app with an orchestration that runs: taskhub init my-app, then taskhub start my-app."""
    from taskhub.cli.templates import app_files, first_functions, first_script, hub_name_of

    if model.lower() not in ("v1", "v2"):
        raise typer.BadParameter(f"'{model}' is no programming model; there are v1 and v2.", param_hint="--model")
    root = directory.resolve()
    files = app_files(hub_name_of(root.name))
    if model.lower() == "v2":
        from taskhub.cli.function_script import read_script, with_functions

        name = "function_app.py"
        script = read_script(first_script(), name)
        files[name] = with_functions(script, [each.script_v2("app") for each in first_functions()], name)
    else:
        for function in first_functions():
            files.update({f"{function.name}/{name}": text for name, text in function.files_v1().items()})
    there = [name for name in files if (root / name).exists()]
    refused = [name for name in there if name not in _KEPT]
    if refused and not force:
        fail(
            f"{root} has {', '.join(refused)} already; nothing was written. Name another folder, add functions to the "
            "app that is there with taskhub new, or say --force to write over these files."
        )
    for name, text in files.items():
        if name in there and not force:
            typer.echo(f"{name} is there already and stays as it is.")
            continue
        typer.echo(f"Writing {name}")
        _write(root / name, text)
    shown = "" if root == Path.cwd() else f" {directory}"
    typer.echo(
        f"\nRun it:            taskhub start{shown}\n"
        "Then start one:    curl -X POST http://localhost:7071/api/orchestrators/hello_cities\n"
        f"Add functions:     taskhub new{f' --app {directory}' if shown else ''}"
    )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"Cannot write {path}: {error.strerror}.")
