"""What the host writes: the layout, levels and colours of ``func start``.

Every line of a message is ``[2024-01-01T00:00:00.000Z] text``. User code's logs and prints show from Information on,
the host's own from Warning on (Information with ``--verbose``); ``logging.logLevel`` of ``host.json`` changes both by
category. Colours only on a terminal, and not with ``NO_COLOR``.

Source: Azure Functions Core Tools 4, console logger.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TextIO

from taskhub.host.invocation import current_invocation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskhub.host.invocation import Invocation

HOST = "Host.General"
PRINTED = "Host.Function.Console"
USER = "Function"

_LEVELS = {"trace": 0, "debug": 1, "information": 2, "warning": 3, "error": 4, "critical": 5, "none": 6}
_SYSTEM_CATEGORIES = (
    "host.",
    "microsoft.",
    "system.",
    "azure.",
    "azure_functions_worker",
    "durabletask",
    "worker",
    "taskhub",
)
_SYSTEM_LOGGERS = ("taskhub", "asyncio", "aiohttp")
_WORKER_LOGGERS = ("azure.functions", "azure_functions_worker")
"""Loggers that speak to authors of workers; ``default`` of ``host.json``, meant for apps, does not bring them out."""
_RED, _GREEN, _YELLOW, _CYAN, _GREY = "31", "32", "33", "36", "90"
_COLOURS = {
    "trace": _GREEN,
    "debug": _GREEN,
    "information": _CYAN,
    "warning": _YELLOW,
    "error": _RED,
    "critical": _RED,
}


class Console:
    """Writes to one stream, one whole line at a time, from any thread.

    Args:
        stream: where to.
        log_levels: category prefix, lower-case, to the least level shown; ``default`` for all others.
        verbose: show the host's own Information too.
        colour: write ANSI colours.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        log_levels: Mapping[str, str] | None = None,
        verbose: bool = False,
        colour: bool = False,
    ) -> None:
        self._stream = stream
        self._levels = {category: _LEVELS[level.lower()] for category, level in (log_levels or {}).items()}
        self._verbose = verbose
        self._colour = colour
        self._lock = threading.Lock()
        self._least: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Console, {'verbose' if self._verbose else 'normal'}>"

    @property
    def is_coloured(self) -> bool:
        """Whether colours are written."""
        return self._colour

    def configure(self, log_levels: Mapping[str, str]) -> None:
        """Take over the levels of ``host.json``, which is read after the first lines were written."""
        self._levels = {category: _LEVELS[level.lower()] for category, level in log_levels.items()}
        self._least.clear()

    def plain(self, text: str = "", colour: str = "") -> None:
        """Write a text without time: titles and listings."""
        self._write(self._paint(text, colour) + "\n")

    def pieces(self, pieces: Sequence[tuple[str, str]]) -> None:
        """Write a line without time, made of texts and their colours."""
        self._write("".join(self._paint(text, colour) for text, colour in pieces) + "\n")

    def line(self, text: str, colour: str = "") -> None:
        """Write a line with its time, whatever the levels."""
        self._write(self._stamped(text, colour))

    def log(self, level: str, category: str, text: str) -> None:
        """Write a message if its category shows the level (``information`` and so on)."""
        if self.shows(level, category):
            self._write(self._stamped(text, _COLOURS[level]))

    def warning(self, text: str) -> None:
        """Write a warning of the host itself."""
        self.log("warning", HOST, text)

    def error(self, text: str) -> None:
        """Write an error of the host itself."""
        self.log("error", HOST, text)

    def executing(self, invocation: Invocation, reason: str, details: str = "") -> None:
        """Announce an invocation, and below what is known of what started it."""
        category = f"{USER}.{invocation.function}"
        self.log(
            "information",
            category,
            f"Executing 'Functions.{invocation.function}' (Reason='{reason}', Id={invocation.id})"
            + (f"\nTrigger Details: {details}" if details else ""),
        )

    def executed(self, invocation: Invocation, seconds: float, failure: str | None) -> None:
        """Tell how an invocation ended, with the text of its failure if it failed."""
        name, took = invocation.function, round(seconds * 1000)
        if failure is None:
            text = f"Executed 'Functions.{name}' (Succeeded, Id={invocation.id}, Duration={took}ms)"
            self.log("information", f"{USER}.{name}", text)
            return
        text = f"Executed 'Functions.{name}' (Failed, Id={invocation.id}, Duration={took}ms)"
        self.log("error", f"{USER}.{name}", f"{text}\nException while executing function: Functions.{name}. {failure}")

    def shows(self, level: str, category: str) -> bool:
        """Return whether a message of this level and category is written."""
        least = self._least.get(category)
        if least is None:
            least = self._least[category] = self._least_level(category.lower())
        return _LEVELS[level] >= least

    def _least_level(self, category: str) -> int:
        prefixes = [prefix for prefix in self._levels if category == prefix or category.startswith(prefix + ".")]
        if prefixes:
            return self._levels[max(prefixes, key=len)]
        if "default" in self._levels and not category.startswith(_WORKER_LOGGERS):
            return self._levels["default"]
        is_system = category.startswith(_SYSTEM_CATEGORIES) and category != PRINTED.lower()
        return _LEVELS["warning" if is_system and not self._verbose else "information"]

    def _stamped(self, text: str, colour: str) -> str:
        now = datetime.now(timezone.utc)
        stamp = self._paint(f"[{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z]", _GREY)
        return "".join(f"{stamp} {self._paint(line, colour)}\n" for line in text.splitlines() or [""])

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour and text else text

    def _write(self, text: str) -> None:
        with self._lock:
            self._stream.write(text)
            self._stream.flush()


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether colours help: on a terminal, unless ``NO_COLOR`` says no."""
    return stream.isatty() and not environment.get("NO_COLOR")


# ---- logs and prints of user code


class ConsoleHandler(logging.Handler):
    """The root logger's handler: every record, with the category of the invocation that it belongs to."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            level = _level_name(record.levelno)
            category = _category(record)
            if self._console.shows(level, category):
                self._console.log(level, category, self.format(record))
        except Exception:  # a record that cannot be formatted is its author's problem, not the host's
            self.handleError(record)


def _level_name(number: int) -> str:
    if number >= logging.CRITICAL:
        return "critical"
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "information" if number >= logging.INFO else "debug"


def _category(record: logging.LogRecord) -> str:
    if record.name.startswith(_WORKER_LOGGERS):
        return record.name
    if record.name.startswith(_SYSTEM_LOGGERS):
        return f"taskhub.{record.name}"
    invocation = current_invocation()
    return f"{USER}.{invocation.function}.{USER_LOG}" if invocation else USER


USER_LOG = "User"


class PrintedLines(io.TextIOBase):
    """Stands in for ``sys.stdout`` or ``sys.stderr``: what user code prints becomes console lines.

    Args:
        console: where the lines go.
        original: the stream that this one stands in for.
        is_error: whether it is ``stderr``, whose lines get a level by their words.
    """

    def __init__(self, console: Console, original: TextIO, *, is_error: bool) -> None:
        self._console = console
        self._original = original
        self._is_error = is_error
        self._pending = threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # read-only here, as on real streams
        """Encoding of the stream below."""
        return self._original.encoding

    def fileno(self) -> int:
        """File descriptor of the stream below, for those who write to it directly."""
        return self._original.fileno()

    def isatty(self) -> bool:
        """Return whether the stream below is a terminal."""
        return self._original.isatty()

    def writable(self) -> bool:
        """Return true."""
        return True

    def write(self, text: str) -> int:
        """Write the whole lines of ``text``; the rest waits for its end or for a flush."""
        whole, newline, rest = (getattr(self._pending, "text", "") + text).rpartition("\n")
        self._pending.text = rest
        if newline:
            self._log(whole)
        return len(text)

    def flush(self) -> None:
        """Write what waits for the end of its line."""
        rest = getattr(self._pending, "text", "")
        if rest:
            self._pending.text = ""
            self._log(rest)

    def _log(self, text: str) -> None:
        if not self._is_error:
            self._console.log("information", PRINTED, text)
            return
        for line in text.split("\n"):
            self._console.log(_level_of_error_line(line), PRINTED, line)


def _level_of_error_line(line: str) -> str:
    lower = line.lower()
    if "warn" in lower:
        return "warning"
    if any(word in lower for word in ("error", "fail", "severe", "unhandled exception")):
        return "error"
    return "information"


def wants_debug(console: Console, environment: Mapping[str, str]) -> bool:
    """Return whether user code's Debug messages are wanted."""
    asked = environment.get("PYTHON_ENABLE_DEBUG_LOGGING", "").strip().lower() in ("1", "true", "yes", "on")
    return asked or console.shows("debug", USER)


@contextlib.contextmanager
def captured_output(console: Console, *, debug: bool) -> Iterator[None]:
    """Send logs and prints of the whole process to a console, until the block ends.

    Args:
        console: where to.
        debug: let loggers pass Debug too.
    """
    before = (sys.stdout, sys.stderr, logging.root.level)
    handler = ConsoleHandler(console)
    sys.stdout = PrintedLines(console, sys.stdout, is_error=False)
    sys.stderr = PrintedLines(console, sys.stderr, is_error=True)
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG if debug else logging.INFO)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr, level = before
        logging.root.removeHandler(handler)
        logging.root.setLevel(level)
