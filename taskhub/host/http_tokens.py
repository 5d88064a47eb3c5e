"""Bearer tokens for ``call_http``: of the app's managed identity, through the optional package azure-identity."""

from __future__ import annotations

import asyncio
import importlib
import time
from typing import TYPE_CHECKING, Any, Protocol

from taskhub.host.http_calls import HttpCallFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.host.http_calls import TokenRequest

REFRESH_SECONDS = 300.0
"""A token that ends within this is not used any more."""

_MISSING = (
    "ManagedIdentityTokenSource needs the package azure-identity, which is not installed: "
    "pip install 'durable-taskhub[identity]'"
)
_IDENTITY = "Azure.Identity.AuthenticationFailedException, Azure.Identity"


class Credential(Protocol):
    """What is needed of a credential of azure-identity."""

    async def get_token(self, *scopes: str, tenant_id: str | None = None) -> Any:
        """Return an object with ``token`` and ``expires_on``, seconds since 1970."""

    async def close(self) -> None:
        """Let go of connections."""


class Tokens:
    """Gets tokens and keeps them until shortly before their end. Belongs to one event loop.

    Args:
        make_credential: makes a credential for an authority (``None``: the public cloud's); by default the chain of
            azure-identity, which is imported with the first token.
        now: seconds since 1970.
    """

    def __init__(
        self,
        make_credential: Callable[[str | None], Credential] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._make_credential = make_credential or _default_credential
        self._now = now
        self._credentials: dict[str | None, Credential] = {}
        self._tokens: dict[TokenRequest, Any] = {}
        self._locks: dict[TokenRequest, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Tokens, {len(self._tokens)} held>"

    async def get(self, request: TokenRequest) -> str:
        """Return a token that is valid for some minutes at least.

        Raises:
            HttpCallFailed: there is no identity, it is refused, or azure-identity is not installed.
        """
        # One at a time: a fan-out that begins must not ask the identity service a hundred times.
        async with self._locks.setdefault(request, asyncio.Lock()):
            found = self._tokens.get(request)
            if found is None or found.expires_on - self._now() < REFRESH_SECONDS:
                found = self._tokens[request] = await self._ask(request)
            token: str = found.token
            return token

    async def aclose(self) -> None:
        """Close the credentials."""
        for credential in self._credentials.values():
            await credential.close()
        self._credentials.clear()
        self._tokens.clear()

    async def _ask(self, request: TokenRequest) -> Any:
        credential = self._credentials.get(request.authority)
        if credential is None:
            credential = self._credentials[request.authority] = self._make_credential(request.authority)
        options = {} if request.tenant is None else {"tenant_id": request.tenant}
        try:
            return await credential.get_token(request.scope, **options)
        except Exception as error:  # whatever the library's credentials raise: no identity, no network, refused
            first = str(error).partition("\n")[0]
            raise HttpCallFailed(
                f"No token for '{request.scope}': {type(error).__name__}: {first}", _IDENTITY
            ) from error


def _default_credential(authority: str | None) -> Credential:
    try:
        identity = importlib.import_module("azure.identity.aio")
    except ImportError:
        raise HttpCallFailed(_MISSING, "System.NotSupportedException, System.Private.CoreLib") from None
    options = {} if authority is None else {"authority": authority}
    credential: Credential = identity.DefaultAzureCredential(**options)
    return credential
