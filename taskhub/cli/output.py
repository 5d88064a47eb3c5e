"""What commands print: tables for people, JSON for programs, messages on standard error."""

import json
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from taskhub.model.ids import Utc

STATUS_COLOURS = {
    "Completed": "green",
    "Failed": "red",
    "Terminated": "yellow",
    "Suspended": "yellow",
    "Running": "cyan",
}
_PIPE_WIDTH = 4096
_LONGEST_VALUE = 200


def print_json(value: Any) -> None:
    """Print a value for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_message(text: str) -> None:
    """Print what was done, beside a command's result."""
    typer.secho(text, err=True)


def fail(text: str, *, code: int = 1) -> NoReturn:
    """End the command with a message."""
    typer.secho(text, fg=typer.colors.RED, err=True)
    raise typer.Exit(code)


def console() -> "Console":
    """Return where tables go."""
    from rich.console import Console

    found = Console()
    # Into a pipe or a file nothing is cut or folded: programs such as grep read whole lines.
    return found if found.is_terminal else Console(width=_PIPE_WIDTH)


def print_table(titles: "Sequence[str]", rows: "Sequence[Sequence[Any]]", *, folds: str = "") -> None:
    """Print a table. Cells are texts, or rich ones; the column called ``folds`` takes the room that is left."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=title != folds, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console().print(table)


def print_values(values: "dict[str, Any]") -> None:
    """Print a mapping, a line for each key."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in values.items():
        table.add_row(Text(key, style="bold"), value if isinstance(value, Text) else Text(_plain(value)))
    console().print(table)


def status_text(name: str) -> Any:
    """Return a status in its colour."""
    from rich.text import Text

    return Text(name, style=STATUS_COLOURS.get(name, ""))


def time_text(time: "Utc | None") -> str:
    """Return a time to the second."""
    return "" if time is None else time[:19].replace("T", " ")


def event_summary(event: dict[str, Any]) -> str:
    """Return what an event is about, in one line: whose it is, and its most telling value."""
    name = event.get("FunctionName") or event.get("Name") or ""
    key = next((key for key in _TELLING if event.get(key) is not None), None)
    text = "" if key is None else _plain(event[key])
    text = text.splitlines()[0] if text else ""
    cut = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
    return f"{name}: {cut}" if name and cut else name or cut


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_TELLING = ("Result", "Reason", "FireAt", "Input", "OrchestrationStatus", "Data")
"""Keys whose value says most about an event, the first that is there."""
