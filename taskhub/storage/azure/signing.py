"""Signing requests of our own: account keys, shared access signatures, tokens.

What is signed is what is sent: the target as it goes over the wire, percent escapes included.

Source: the REST reference of Azure Storage, "Authorize with Shared Key" and "Authorize with Microsoft Entra ID";
held to the official clients' policies by tests/unit/storage/test_signing.py.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

    from taskhub.storage.azure.connection import Connection

TOKEN_SCOPE = "https://storage.azure.com/.default"
TOKEN_MARGIN_SECONDS = 300
"""A token is renewed so long before it ends."""

_STANDARD_HEADERS = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
"""In the order in which the queue service signs them."""


class Signer(Protocol):
    """Makes a request one that the service accepts."""

    async def sign(self, method: str, target: str, headers: dict[str, str], *, content_length: int) -> str:
        """Add what proves who we are to ``headers``, and return the target to send the request to.

        Args:
            method: HTTP's.
            target: path from the root of the host, with the query; escaped as it will be sent.
            headers: all that will be sent, ``x-ms-date`` among them.
            content_length: bytes of the body.

        Raises:
            azure.core.exceptions.ClientAuthenticationError: there is no token.
        """

    def refused(self) -> bool:
        """Hear that the service answered 401; return whether another attempt may go better."""


class AccountKey:
    """Signs with the account's key.

    Args:
        account: its name.
        key: as Azure shows it, in base64.
        for_tables: the table service signs fewer headers than the others.
    """

    def __init__(self, account: str, key: str, *, for_tables: bool) -> None:
        self._account = account
        try:
            self._key = hmac.new(base64.b64decode(key), digestmod=hashlib.sha256)
        except binascii.Error as error:
            raise ConfigurationError(f"the AccountKey of storage account {account} is no base64 text") from error
        self._string_to_sign = self._of_tables if for_tables else self._of_queues

    def __repr__(self) -> str:
        return f"<AccountKey of {self._account}>"

    async def sign(self, method: str, target: str, headers: dict[str, str], *, content_length: int) -> str:
        """Add the header ``Authorization``."""
        path, _, query = target.partition("?")
        text = self._string_to_sign(method, path, query, headers, content_length)
        code = self._key.copy()
        code.update(text.encode())
        headers["Authorization"] = f"SharedKey {self._account}:{base64.b64encode(code.digest()).decode()}"
        return target

    def refused(self) -> bool:
        """Say no: the key stays what it is."""
        return False

    def _of_tables(self, method: str, path: str, query: str, headers: Mapping[str, str], content_length: int) -> str:
        component = [f"?{option}" for option in query.split("&") if option.startswith("comp=")]
        resource = "".join((f"/{self._account}{path}", *component))
        return "\n".join((method, "", headers.get("Content-Type", ""), headers["x-ms-date"], resource))

    def _of_queues(self, method: str, path: str, query: str, headers: Mapping[str, str], content_length: int) -> str:
        known = {name.lower(): value for name, value in headers.items()}
        if content_length:
            known["content-length"] = str(content_length)
        own = sorted(f"{name}:{value}" for name, value in known.items() if name.startswith("x-ms-"))
        options = sorted(f"{name}:{value}" for name, value in _pairs(query))
        standard = (known.get(name, "") for name in _STANDARD_HEADERS)
        return "\n".join((method, *standard, *own, f"/{self._account}{path}", *options))


def _pairs(query: str) -> list[tuple[str, str]]:
    """Return the options of a query, names in lower case, values as they are meant."""
    pairs = (option.partition("=") for option in query.split("&") if option)
    return [(unquote(name).lower(), unquote(value)) for name, _, value in pairs]


class SharedAccess:
    """Opens with a shared access signature, which goes into every query."""

    def __init__(self, credential: AzureSasCredential) -> None:
        self._credential = credential

    async def sign(self, method: str, target: str, headers: dict[str, str], *, content_length: int) -> str:
        """Add the signature to the target."""
        return f"{target}{'&' if '?' in target else '?'}{self._credential.signature.lstrip('?')}"

    def refused(self) -> bool:
        """Say no: the signature stays what it is."""
        return False


class Token:
    """Opens with a token of an identity; one token serves many requests."""

    def __init__(self, credential: AsyncTokenCredential) -> None:
        self._credential = credential
        self._token: AccessToken | None = None
        self._asking = asyncio.Lock()

    async def sign(self, method: str, target: str, headers: dict[str, str], *, content_length: int) -> str:
        """Add the header ``Authorization``; now and then asks for a new token first."""
        if not self._is_good():
            async with self._asking:
                if not self._is_good():
                    self._token = await self._credential.get_token(TOKEN_SCOPE)
        assert self._token is not None
        headers["Authorization"] = f"Bearer {self._token.token}"
        return target

    def refused(self) -> bool:
        """Forget the token: an identity may have lost it before its time."""
        had_one = self._token is not None
        self._token = None
        return had_one

    def _is_good(self) -> bool:
        return self._token is not None and self._token.expires_on - time.time() > TOKEN_MARGIN_SECONDS


def signer_for(service: str, connection: Connection) -> Signer:
    """Return what signs the requests to the queue or the table service of an account.

    Raises:
        ConfigurationError: the key cannot be one.
    """
    credential = connection.credential
    if isinstance(credential, AzureSasCredential):
        return SharedAccess(credential)
    if isinstance(credential, AzureNamedKeyCredential):
        account, key = credential.named_key
        return AccountKey(account, key, for_tables=service == "table")
    return Token(credential)
