"""The keys that requests must bring when authorization is on: where they are kept, and what each one opens.

One folder of JSON files in the layout of the original's file store: ``host.json`` has the master key, the host's
function keys (for all functions) and the system keys (for extensions), ``<function>.json`` the keys of one function.
Another process, or a person, may change a file at any time: it is read again when it did.

Source: Azure Functions host, function access keys; ``functions-host.md`` 3.4.
"""

from __future__ import annotations

import enum
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from taskhub.host.configuration import HostConfiguration

DURABLE_KEY = "durabletask_extension"
"""Name of the system key that opens the management API."""
MASTER = "_master"
"""How the master key is addressed."""

_KEY_BYTES = 40
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,126}")
_HOST_FILE = "host"
"""No function may have this name."""


class Access(enum.Enum):
    """What a request must prove."""

    ANONYMOUS = "anonymous"
    FUNCTION = "function"
    """A key of the function or of all functions."""
    SYSTEM = "system"
    """The key of the extension."""
    ADMIN = "admin"
    """The master key, which opens everything."""


@dataclass(frozen=True, slots=True)
class HostKeys:
    """What ``host.json`` of the folder holds: keys by name."""

    master: str
    functions: Mapping[str, str] = field(default_factory=dict)
    system: Mapping[str, str] = field(default_factory=dict)


def opens(
    presented: str | None,
    access: Access,
    host: HostKeys,
    own: Mapping[str, str],
    *,
    system_key: str = DURABLE_KEY,
) -> bool:
    """Return whether a key is enough.

    Args:
        presented: what the request brought.
        access: what is asked for.
        host: keys of the host.
        own: keys of the function asked for.
        system_key: name of the key of the extension asked for.
    """
    if access is Access.ANONYMOUS:
        return True
    accepted = [host.master]
    if access is Access.FUNCTION:
        accepted += [*host.functions.values(), *own.values()]
    if access is Access.SYSTEM:
        accepted.append(host.system.get(system_key, ""))
    return _is_one_of(presented or "", accepted)


def _is_one_of(presented: str, accepted: Iterable[str]) -> bool:
    """Compare with all of them, in a time that tells neither which one matched nor how much of it."""
    # A header may hold bytes that are no text; they come as surrogates.
    given, found = presented.encode(errors="surrogatepass"), False
    for key in accepted:
        found |= hmac.compare_digest(given, key.encode(errors="surrogatepass")) and bool(key)
    return found


def is_key_name(name: str) -> bool:
    """Return whether a key may have this name."""
    return bool(_KEY_NAME.fullmatch(name))


def system_key_of(extension: str) -> str:
    """Return the name of the key that opens the webhook of an extension."""
    return f"{extension}_extension"


def new_key() -> str:
    """Return a fresh key, of letters that need no encoding in a URL."""
    return secrets.token_urlsafe(_KEY_BYTES)


def secrets_folder(configuration: HostConfiguration) -> Path:
    """Return the folder of an app's keys: what ``TASKHUB_SECRETS`` says, else one beside the embedded store."""
    named = configuration.settings.get("TASKHUB_SECRETS")
    return configuration.app_root / (named or ".taskhub/secrets")


class KeyStore:
    """The keys in a folder; makes those that every host has when they are not there.

    Args:
        folder: made when it is not there.

    Raises:
        ConfigurationError: the folder cannot be written to and has no keys, or a file cannot be understood.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {}
        """Name of a file; its time and size, and what it held then."""
        host = self.host()
        wanted = replace(
            host,
            master=host.master or new_key(),
            functions=host.functions or {"default": new_key()},
            system=_with_keys(host.system, [DURABLE_KEY]),
        )
        if wanted != host:
            self.save_host(wanted)

    def __repr__(self) -> str:
        return f"<KeyStore {self._folder}>"

    @property
    def folder(self) -> Path:
        """Where the keys are."""
        return self._folder

    def allows(
        self,
        presented: str | None,
        access: Access,
        function: str | None = None,
        *,
        system_key: str = DURABLE_KEY,
    ) -> bool:
        """Return whether a key opens what is asked for."""
        if access is Access.ANONYMOUS:
            return True
        own = self.of_function(function) if function is not None and access is Access.FUNCTION else {}
        return opens(presented, access, self.host(), own, system_key=system_key)

    def add_system_keys(self, extensions: Iterable[str]) -> None:
        """Make the keys of further extensions, those that are not there.

        Raises:
            ConfigurationError: the folder cannot be written to.
        """
        host = self.host()
        wanted = _with_keys(host.system, map(system_key_of, extensions))
        if wanted != host.system:
            self.save_host(replace(host, system=wanted))

    def durable_code(self) -> str:
        """Return the part of a query that opens the management API."""
        return f"code={quote(self.host().system.get(DURABLE_KEY, ''), safe='')}"

    def host(self) -> HostKeys:
        """Return the keys of the host."""
        document = self._document(_HOST_FILE)
        master = document.get("masterKey")
        return HostKeys(
            _value(master) if isinstance(master, dict) else "",
            _by_name(document.get("functionKeys")),
            _by_name(document.get("systemKeys")),
        )

    def of_function(self, name: str) -> Mapping[str, str]:
        """Return the keys of a function, by name."""
        return _by_name(self._document(name.lower()).get("keys"))

    def save_host(self, keys: HostKeys) -> None:
        """Write the keys of the host.

        Raises:
            ConfigurationError: the folder cannot be written to.
        """
        self._write(
            _HOST_FILE,
            {
                "masterKey": _entry("master", keys.master),
                "functionKeys": [_entry(name, value) for name, value in keys.functions.items()],
                "systemKeys": [_entry(name, value) for name, value in keys.system.items()],
            },
        )

    def save_function(self, name: str, keys: Mapping[str, str]) -> None:
        """Write the keys of a function; raises as :meth:`save_host`."""
        self._write(name.lower(), {"keys": [_entry(key, value) for key, value in keys.items()]})

    def _document(self, name: str) -> dict[str, Any]:
        path = self._folder / f"{name}.json"
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._read.get(name)
            if known is not None and known[0] == stamp:
                return known[1]
            document = json.loads(path.read_text(encoding="utf-8-sig"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"The keys in {path} cannot be read: {type(error).__name__}.") from error
        if not isinstance(document, dict):
            raise ConfigurationError(f"The keys in {path} cannot be read: it must hold a JSON object.")
        self._read[name] = (stamp, document)
        return document

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        path = self._folder / f"{name}.json"
        fresh = path.with_suffix(f".{secrets.token_hex(4)}.new")
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Keys are for no repository.
                (self._folder / ".gitignore").write_text("*\n", encoding="utf-8")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
            fresh.replace(path)
        except OSError as error:
            raise ConfigurationError(
                f"Keys cannot be written to {self._folder}: {error.strerror}. Name another folder in the app setting "
                "TASKHUB_SECRETS."
            ) from error
        self._read.pop(name, None)


def _by_name(entries: object) -> dict[str, str]:
    if not isinstance(entries, list):
        return {}
    return {str(each.get("name")): _value(each) for each in entries if isinstance(each, dict)}


def _value(entry: Mapping[str, Any]) -> str:
    value = entry.get("value")
    # An encrypted one can be read only where it was written; it opens nothing.
    return value if isinstance(value, str) and not entry.get("encrypted") else ""


def _entry(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value, "encrypted": False}


def _with_keys(keys: Mapping[str, str], names: Iterable[str]) -> Mapping[str, str]:
    """Return keys, and new ones of those names that have none."""
    return {**keys, **{name: new_key() for name in names if not keys.get(name)}}
