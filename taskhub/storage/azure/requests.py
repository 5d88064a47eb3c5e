"""Requests of our own to the queue and the table service, over one session.

They carry the calls of every episode, so they are as thin as the wire allows (docs/adr/0013-thin-requests.md).
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yarl import URL

from taskhub.storage.azure.errors import mapped
from taskhub.storage.azure.signing import signer_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from taskhub.storage.azure.connection import Connection

API_VERSION = "2020-12-06"
"""Known to the official clients of all three services and to every Azurite since 2021."""

LARGE_BODY_BYTES = 1_000_000
"""A larger body is sent in pieces: as a whole it would keep the event loop."""

_NO_HEADERS: Mapping[str, str] = {}
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names compare ignoring case."""
    body: bytes


class Requests:
    """Sends signed requests to the queue or the table service of one account.

    Args:
        service: ``queue`` or ``table``.
        connection: the account.
        session: sends what it is given and adds nothing but ``Host`` and ``Content-Length``; see
            :func:`taskhub.storage.azure.account.open_azure`.
    """

    def __init__(self, service: str, connection: Connection, session: aiohttp.ClientSession) -> None:
        self.endpoint = connection.endpoints[service]
        self.is_emulator = connection.is_emulator
        parts = urlsplit(self.endpoint)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._base_path = parts.path
        self._session = session
        self._signer = signer_for(service, connection)
        self._headers = {"x-ms-version": API_VERSION, "User-Agent": "durable-taskhub"}
        if service == "table":
            self._headers.update({"DataServiceVersion": "3.0", "MaxDataServiceVersion": "3.0;NetFx"})

    def __repr__(self) -> str:
        return f"<Requests {self.endpoint}>"

    async def send(
        self, what: str, method: str, path: str, headers: Mapping[str, str] = _NO_HEADERS, body: bytes | None = None
    ) -> Answer:
        """Send a request and read the answer.

        Args:
            what: the call, for messages.
            method: HTTP's.
            path: after the account's endpoint, with the query; escaped.
            headers: besides the ones that all have.
            body: what to send.

        Raises:
            TransientStorageError: there is no answer.
            StorageRefused: there is no token to sign with.
        """
        with mapped(what):
            answer = await self._send(method, path, headers, body)
            if answer.status == _UNAUTHORIZED and self._signer.refused():
                # It did not act, so asking again with a new token is no repetition.
                answer = await self._send(method, path, headers, body)
        return answer

    async def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        all_headers = {**self._headers, "x-ms-date": formatdate(time.time(), usegmt=True), **headers}
        target = await self._signer.sign(
            method, self._base_path + path, all_headers, content_length=0 if body is None else len(body)
        )
        async with self._session.request(
            method,
            URL(self._origin + target, encoded=True),
            headers=all_headers,
            data=io.BytesIO(body) if body is not None and len(body) > LARGE_BODY_BYTES else body,
            allow_redirects=False,
        ) as response:
            return Answer(response.status, response.headers, await response.read())
