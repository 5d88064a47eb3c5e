"""Hints between the processes of one machine: a message was put, look at its queue.

A client in another process than the worker cannot wake it, and the worker of an idle hub looks at its queues every
half minute. So each host listens on a port of the loopback interface and leaves a note of it in a folder of the user;
whoever puts a message sends a datagram to the hosts of the same task hub. Hosts on other machines can be named by
settings.

Hints are no more than that. Lost or late ones cost time, since polling finds everything. Forged ones cost a read: they
are signed with a key that only the user's own processes can read (or a secret that is set), each wakes a reader that
rests after every read, and more than :data:`MAX_PER_SECOND` are not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import os
import secrets
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MAX_PER_SECOND = 200
"""Hints that a process takes in; more are dropped."""

LIST_SECONDS = 1.0
"""For how long the notes that were found are taken for the ones that are there."""

MAX_AGE_SECONDS = 60.0
"""Older hints are of no use, and may have been recorded by somebody."""

_SIGNATURE_BYTES = 32
_SUFFIX = ".hint"

_logger = logging.getLogger("taskhub.hints")


@dataclass(frozen=True, slots=True)
class Peer:
    """Where hints can be sent to."""

    address: tuple[str, int]
    key: bytes


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Hosts on other machines, as settings name them."""

    listen: tuple[str, int] | None = None
    peers: tuple[Peer, ...] = ()
    secret: bytes = b""

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> PeerSettings:
        """Read ``TASKHUB_HINT_ADDRESS`` (``host:port`` to listen on), ``_PEERS`` (a list of such) and ``_SECRET``.

        Raises:
            ConfigurationError: an address is none, or there is no secret.
        """
        listen, peers = settings.get("TASKHUB_HINT_ADDRESS", ""), settings.get("TASKHUB_HINT_PEERS", "")
        if not listen.strip() and not peers.strip():
            return cls()
        secret = settings.get("TASKHUB_HINT_SECRET", "").encode()
        if not secret:
            raise ConfigurationError(
                "TASKHUB_HINT_ADDRESS and TASKHUB_HINT_PEERS need TASKHUB_HINT_SECRET, the same text for all hosts, so "
                "that nobody else can wake them."
            )
        return cls(
            _address("TASKHUB_HINT_ADDRESS", listen) if listen.strip() else None,
            tuple(Peer(_address("TASKHUB_HINT_PEERS", each), secret) for each in peers.split(",") if each.strip()),
            secret,
        )


def _address(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigurationError(f"{name} is '{text.strip()}' but must be host:port, such as 10.0.0.4:7090")
    return host, int(port)


def default_folder() -> Path:
    """Return the folder of notes: only this user can read it."""
    chosen = os.environ.get("XDG_RUNTIME_DIR")
    if chosen and Path(chosen).is_dir():
        return Path(chosen) / "taskhub"
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"taskhub-{user}"


class HintSender:
    """Tells the other processes that work on a task hub of messages that were put.

    Args:
        place: which store, as :attr:`taskhub.storage.port.Storage.description` tells.
        hub: name of the task hub.
        folder: of the notes.
        remote: hosts on other machines.
    """

    def __init__(self, place: str, hub: str, *, folder: Path | None = None, remote: PeerSettings | None = None) -> None:
        self._folder = folder or default_folder()
        self._name = _name_of(place, hub)
        self._remote = (remote or PeerSettings()).peers
        self._peers: list[Peer] = []
        self._listed_at = float("-inf")
        self._socket: socket.socket | None = None
        self.own_note: Path | None = None
        """Of the listener in this process, which needs no hints from here."""

    def hint(self, queue: str, after_seconds: float = 0.0) -> int:
        """Tell the others that a message in a queue is visible, or will be after some seconds; never fails.

        Returns:
            How many others there seem to be.
        """
        others = self._others()
        for peer in others:
            words = json.dumps([time.time(), self._name, queue, after_seconds]).encode()
            if self._socket is None:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            try:
                self._socket.sendto(_signature(peer.key, words) + words, peer.address)
            except OSError as error:  # a hint that is lost is found by polling
                _logger.debug("no hint for %s:%d: %s", *peer.address, error)
        return len(others)

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _others(self) -> Sequence[Peer]:
        now = time.monotonic()
        if now - self._listed_at >= LIST_SECONDS:
            self._listed_at = now
            self._peers = [*self._noted(), *self._remote]
        return self._peers

    def _noted(self) -> list[Peer]:
        notes = sorted(self._folder.glob(f"{self._name}-*{_SUFFIX}")) if _is_own(self._folder) else []
        return [peer for note in notes if note != self.own_note and (peer := _read(note)) is not None]


class HintListener:
    """Hears the hints of other processes.

    Args:
        place: which store.
        hub: name of the task hub.
        wake: called with the queue, and the seconds after which its message is visible.
        folder: of the notes.
        remote: where to listen for other machines, too.
    """

    def __init__(
        self,
        place: str,
        hub: str,
        wake: Callable[[str, float], object],
        *,
        folder: Path | None = None,
        remote: PeerSettings | None = None,
    ) -> None:
        self._folder = folder or default_folder()
        self._name = _name_of(place, hub)
        self._wake = wake
        self._remote = remote or PeerSettings()
        self._transports: list[asyncio.DatagramTransport] = []
        self.note: Path | None = None
        """Where others find the port."""

    def __repr__(self) -> str:
        return f"<HintListener {self._name}, {len(self._transports)} ports>"

    async def start(self) -> None:
        """Listen, and say where. Where that is not possible, queues are polled as if there were no hints.

        Raises:
            ConfigurationError: the address for other machines cannot be listened on.
        """
        key = secrets.token_bytes(32)
        try:
            port = await self._listen(("127.0.0.1", 0), key)
            self.note = self._write_note(port, key)
        except OSError as error:
            _logger.warning("other processes cannot wake this one, queues are only polled: %s", error)
        if self._remote.listen is not None:
            try:
                await self._listen(self._remote.listen, self._remote.secret)
            except OSError as error:
                host, port = self._remote.listen
                raise ConfigurationError(f"TASKHUB_HINT_ADDRESS {host}:{port} cannot be listened on: {error}") from None

    def stop(self) -> None:
        """Listen no more."""
        if self.note is not None:
            self.note.unlink(missing_ok=True)
            self.note = None
        for transport in self._transports:
            transport.close()
        self._transports = []

    async def _listen(self, address: tuple[str, int], key: bytes) -> int:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Hints(key, self._name, self._wake), local_addr=address
        )
        self._transports.append(transport)
        port: int = transport.get_extra_info("sockname")[1]
        return port

    def _write_note(self, port: int, key: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(self._folder):
            raise PermissionError(f"{self._folder} belongs to somebody else, or others may write to it")
        _remove_left(self._folder)
        note = self._folder / f"{self._name}-{os.getpid()}{_SUFFIX}"
        part = note.with_suffix(".part")
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump({"port": port, "key": key.hex()}, file)
        part.replace(note)
        return note


class _Hints(asyncio.DatagramProtocol):
    """Takes in what is signed, recent and not too much."""

    def __init__(self, key: bytes, name: str, wake: Callable[[str, float], object]) -> None:
        self._key = key
        self._name = name
        self._wake = wake
        self._second = 0
        self._count = 0

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > MAX_PER_SECOND:
            return
        signature, words = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, _signature(self._key, words)):
            return
        sent_at, name, queue, after_seconds = json.loads(words)
        if name == self._name and abs(time.time() - sent_at) <= MAX_AGE_SECONDS:
            self._wake(queue, after_seconds)


def _name_of(place: str, hub: str) -> str:
    return hashlib.sha256(f"{place}\n{hub}".lower().encode()).hexdigest()[:16]


def _signature(key: bytes, words: bytes) -> bytes:
    return hmac.new(key, words, hashlib.sha256).digest()


def _is_own(folder: Path) -> bool:
    """Return whether a folder exists and nobody else can put notes into it."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and not folder.is_symlink()


def _read(note: Path) -> Peer | None:
    try:
        words = json.loads(note.read_text(encoding="ascii"))
        return Peer(("127.0.0.1", int(words["port"])), bytes.fromhex(words["key"]))
    except (OSError, ValueError, KeyError):
        return None  # its process is just gone


def _remove_left(folder: Path) -> None:
    """Remove the notes of processes that were killed."""
    for note in folder.glob(f"*{_SUFFIX}"):
        pid = note.stem.rpartition("-")[2]
        if pid.isdigit() and not _is_alive(int(pid)):
            note.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there the signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
