"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Optional

import typer

Hub = Annotated[
    Optional[str],  # noqa: UP045 (typer evaluates it on 3.10)
    typer.Option("--hub", metavar="NAME", help="Name of the task hub; by default what host.json says."),
]
Storage = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--storage",
        metavar="embedded|embedded:PATH|azurite|SETTING",
        help="Where the task hub is kept; by default what the app's connection setting says.",
    ),
]
AppOption = Annotated[
    Path, typer.Option("--app", metavar="APP_DIR", help="Folder of the app, for its host.json and settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
InstanceArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the instance.")]
InstancesArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of the instances.")]
