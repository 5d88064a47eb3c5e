"""How far long work has come, for people who wait: on standard error, and only where that is a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

Advance = Callable[[int], None]
"""Takes how much more is done."""


@contextmanager
def progress(what: str, unit: str, *, total: int | None = None) -> Iterator[Advance]:
    """Show a bar while the block runs; gone when it ends.

    Args:
        what: is done, as "Reading".
        unit: of what is counted, in the plural.
        total: how much there is, ``None`` when nobody knows.
    """
    from rich.console import Console

    shown = Console(stderr=True)
    if not shown.is_terminal:
        yield _nobody_looks
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    count = "{task.completed:,.0f}" + ("" if total is None else " of {task.total:,.0f}") + f" {unit}"
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn(count), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.advance(task, amount)


@contextmanager
def counted_lines(what: str, file: Path, stream: TextIO) -> Iterator[Iterable[str]]:
    """Yield the lines of a file, whose share that was read is shown meanwhile.

    Args:
        what: is done with it.
        file: its name; its size tells how much there is, if it is one.
        stream: the file, opened.
    """
    total = file.stat().st_size if file.is_file() else None
    with progress(what, "lines" if total is None else "bytes", total=total) as advance:

        def lines() -> Iterator[str]:
            for line in stream:
                yield line
                advance(1 if total is None else len(line.encode()))

        yield lines()


def _nobody_looks(amount: int) -> None:
    pass
