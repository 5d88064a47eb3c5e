"""PURE but for reading its own texts: what ``taskhub init`` and ``taskhub new`` write.

The texts lie in the folder ``texts``: ``app`` has the files of a new app, ``v2`` the functions with decorators, ``v1``
a script and a ``function.json`` for each function. ``{{word}}`` stands for a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_DURABLE = frozenset({"starter", "orchestrator", "activity", "entity", "entity_http"})
_MIN_HUB_NAME, _MAX_HUB_NAME = 3, 45
"""What the official extension asks for."""
_MIN_QUEUE_NAME, _MAX_QUEUE_NAME = 3, 56
"""Of Azure Storage; with room for ``-poison``."""


@dataclass(frozen=True, slots=True)
class Template:
    """Something that ``taskhub new`` can add to an app: one function, or several that belong together."""

    key: str
    title: str
    """As ``func new`` calls it."""
    summary: str
    pieces: tuple[tuple[str, str], ...]
    """Its functions: the name of a text, and what follows the chosen name."""

    @property
    def is_durable(self) -> bool:
        """Whether the decorators of a durable app are needed."""
        return any(piece in _DURABLE for piece, _ in self.pieces)


TEMPLATES = (
    Template(
        "orchestrator",
        "Durable Functions orchestrator",
        "an orchestrator, and an activity that it calls",
        (("orchestrator", ""), ("activity", "_activity")),
    ),
    Template("activity", "Durable Functions activity", "an activity", (("activity", ""),)),
    Template(
        "entity",
        "Durable Functions entity",
        "an entity that counts, and an HTTP function that signals and reads it",
        (("entity", ""), ("entity_http", "_http")),
    ),
    Template(
        "starter",
        "Durable Functions HTTP starter",
        "an HTTP function that starts any orchestrator of the app",
        (("starter", ""),),
    ),
    Template("http", "HTTP trigger", "an HTTP function", (("http", ""),)),
    Template("timer", "Timer trigger", "a function that runs every five minutes", (("timer", ""),)),
    Template("queue", "Queue trigger", "a function that works on messages of a queue", (("queue", ""),)),
    Template("blob", "Blob trigger", "a function that works on new and changed blobs", (("blob", ""),)),
)

_OTHER_TITLES = {
    "azure queue storage trigger": "queue",
    "azure blob storage trigger": "blob",
    "durable functions entity http starter": "entity",
}


def find_template(text: str) -> Template | None:
    """Return the template of a key or of a title, ignoring case."""
    wanted = text.strip().lower()
    wanted = _OTHER_TITLES.get(wanted, wanted)
    return next((each for each in TEMPLATES if wanted in (each.key, each.title.lower())), None)


@dataclass(frozen=True, slots=True)
class NewFunction:
    """One function to be written."""

    piece: str
    name: str
    related: str
    """Name of the function that this one calls or addresses, if it does."""
    route: str
    level: str | None
    """Who may call it over HTTP; ``None``: as the app has it, and ``function`` in a ``function.json``."""

    @property
    def identifier(self) -> str:
        """A name for the Python function: the function's own, if it is one."""
        return identifier_of(self.name)

    def script_v2(self, app: str) -> str:
        """Return its source, with decorators of the object called ``app``."""
        text = _filled(f"v2/{self.piece}.py.txt", {**self._words(), "app": app})
        if self.identifier == self.name:
            return text
        return f'@{app}.function_name("{self.name}")\n{text}'

    def files_v1(self) -> dict[str, str]:
        """Return the files of its folder."""
        words = self._words()
        return {
            "function.json": _filled(f"v1/{self.piece}.json", words),
            "__init__.py": _filled(f"v1/{self.piece}.py.txt", words),
        }

    def _words(self) -> Mapping[str, str]:
        return {
            "identifier": self.identifier,
            "activity": self.related,
            "entity": self.related,
            "queue": queue_name_of(self.name),
            "route": self.route,
            "level": self.level or "function",
            "auth": f", auth_level=func.AuthLevel.{self.level.upper()}" if self.level else "",
        }


def functions_of(template: Template, name: str, *, level: str | None, taken_text: str) -> list[NewFunction]:
    """Return the functions that a template makes under a name.

    Args:
        template: which.
        name: of the first of them.
        level: see :class:`NewFunction`.
        taken_text: all source of the app; a route that stands in it is not given to another function.
    """
    first, last = template.pieces[0][1], template.pieces[-1][1]
    starts = "orchestrators/{functionName}"
    route = starts if template.key == "starter" and starts not in taken_text else f"{name}/{{functionName}}"
    return [
        NewFunction(
            piece,
            f"{name}{after}",
            f"{name}{last if piece == 'orchestrator' else first}",
            route if piece == "starter" else name,
            level,
        )
        for piece, after in template.pieces
    ]


def first_functions() -> list[NewFunction]:
    """Return the functions of a new app."""
    return [
        NewFunction("starter", "http_start", "", "orchestrators/{functionName}", None),
        NewFunction("orchestrator", "hello_cities", "say_hello", "", None),
        NewFunction("activity", "say_hello", "", "", None),
    ]


def app_files(hub: str) -> dict[str, str]:
    """Return what every new app has: path below its folder to text."""
    return {
        path: _filled(f"app/{source}", {"hub": hub})
        for path, source in (
            ("host.json", "host.json"),
            ("local.settings.json", "settings.json"),
            ("requirements.txt", "requirements.txt"),
            (".gitignore", "gitignore.txt"),
            (".funcignore", "funcignore.txt"),
            (".vscode/extensions.json", "extensions.json"),
        )
    }


def first_script() -> str:
    """Return the beginning of a ``function_app.py``."""
    return _filled("app/function_app.py.txt", {})


# ---- names


def identifier_of(name: str) -> str:
    """Return a Python name for a function's name."""
    import keyword

    found = name.replace("-", "_")
    return f"{found}_" if keyword.iskeyword(found) else found


def queue_name_of(name: str) -> str:
    """Return a name that queues and containers may have, made of a function's name."""
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    found = f"{letters[:_MAX_QUEUE_NAME].strip('-')}"
    return found if len(found) >= _MIN_QUEUE_NAME else f"{found}-items"


def hub_name_of(folder: str) -> str:
    """Return a name for the task hub of an app, made of its folder's name: ``my-app`` → ``MyApp``."""
    words = re.findall(r"[A-Za-z0-9]+", re.sub(r"^[^A-Za-z]+", "", folder))
    name = "".join(word[0].upper() + word[1:] for word in words)[:_MAX_HUB_NAME]
    return name if len(name) >= _MIN_HUB_NAME else f"{name}Hub"


def _filled(path: str, words: Mapping[str, str]) -> str:
    source = resources.files("taskhub.cli").joinpath("texts", *path.split("/"))
    return _PLACE.sub(lambda found: words[found[1]], source.read_text(encoding="utf-8"))
