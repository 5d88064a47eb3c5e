"""PURE: the paths of blobs in bindings: ``container/name``, with expressions or, for triggers, with parts to capture.

Source: Azure WebJobs SDK storage extension, BlobPathSource.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from taskhub.host.triggers.expressions import Expression, TemplateError, parse_template

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTAINER = re.compile(r"\$root|\$web|\$logs|(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*")
_WAKE_KEY = "blobs of "
MAX_BLOB_NAME = 1024
"""Characters of a blob's name, the service's limit."""


@dataclass(frozen=True, slots=True)
class BlobPattern:
    """Which blobs start a function."""

    container: str
    names: tuple[str, ...]
    """Of the captured parts, in order."""
    expression: re.Pattern[str]
    prefix: str
    """How the name of every matching blob begins."""

    def match(self, blob: str) -> Mapping[str, str] | None:
        """Return the captured parts of a blob's name, ``None`` when it does not match."""
        found = self.expression.fullmatch(blob)
        return None if found is None else dict(zip(self.names, found.groups(), strict=True))


def parse_pattern(path: str) -> BlobPattern:
    """Read the path of a blob trigger: ``container/{name}.txt``, or a container for all of its blobs.

    Raises:
        TemplateError: the container's name is none, or the pattern makes no sense.
    """
    container, _, blob = path.strip("/").partition("/")
    if "{" in container:
        raise TemplateError(f"the path '{path}' of a blobTrigger must begin with the name of a container.")
    container = container.lower()
    check_container(container)
    parts = parse_template(blob or "{name}").parts if blob else ()
    names = tuple(part.name for part in parts if isinstance(part, Expression))
    for part in parts:
        if isinstance(part, Expression) and ("." in part.name or "-" in part.name or part.format):
            raise TemplateError(f"the path '{path}' of a blobTrigger has {{{part.name}}}, which cannot be captured.")
    if len({name.lower() for name in names}) < len(names):
        raise TemplateError(f"the path '{path}' of a blobTrigger names the same part twice.")
    pattern = "".join("(.*)" if isinstance(part, Expression) else re.escape(part) for part in parts)
    prefix = parts[0] if parts and isinstance(parts[0], str) else ""
    return BlobPattern(container, names, re.compile(pattern if blob else ".*", re.DOTALL), prefix)


def split_path(path: str) -> tuple[str, str]:
    """Return container and name of a blob.

    Args:
        path: ``container/name``, or the blob's URL, as events have it.

    Raises:
        TemplateError: it is no path of a blob.
    """
    container, _, blob = _without_account(path).lstrip("/").partition("/")
    if not container or not blob:
        raise TemplateError(f"Invalid blob path specified: '{path}'. It must have the form container/blob.")
    container = container.lower()
    check_container(container)
    if len(blob) > MAX_BLOB_NAME:
        raise TemplateError(f"the blob name '{blob[:40]}...' has {len(blob)} characters, the limit is {MAX_BLOB_NAME}.")
    return container, blob


def _without_account(path: str) -> str:
    parts = urlsplit(path)
    if parts.scheme.lower() not in ("http", "https"):
        return path
    path = unquote(parts.path)
    # Only in Azure does the host name the account; emulators have it in front of the container.
    is_azure = ".blob." in (parts.hostname or "")
    return path if is_azure else path.lstrip("/").partition("/")[2]


def check_container(name: str) -> None:
    """Raise TemplateError unless a container may have this name."""
    if not _CONTAINER.fullmatch(name):
        raise TemplateError(
            f"Invalid container name: '{name}'. It must be 3 to 63 lower-case letters, digits and single '-'."
        )


def wake_key_of(container: str) -> str:
    """Return the name under which those are woken who look at a container."""
    return f"{_WAKE_KEY}{container}"


def is_container_key(key: str) -> bool:
    """Return whether a name is one of :func:`wake_key_of`; names of queues have no blanks."""
    return key.startswith(_WAKE_KEY)
