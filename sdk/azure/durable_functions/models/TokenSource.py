"""Where ``call_http`` gets its bearer token from."""

from __future__ import annotations

from abc import ABC, abstractmethod


class TokenSource(ABC):
    """Source of a token that the host puts into the ``Authorization`` header of a durable HTTP call."""

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def to_json(self) -> dict[str, str]:
        """Return the object that tells the host which token to get."""


class ManagedIdentityTokenSource(TokenSource):
    """Token of the function app's managed identity.

    Args:
        resource: the resource to ask a token for, e.g. ``https://management.core.windows.net``.
    """

    def __init__(self, resource: str) -> None:
        super().__init__()
        self._resource = resource
        self._kind = "AzureManagedIdentity"

    @property
    def resource(self) -> str:
        """The resource that the token is for."""
        return self._resource

    def to_json(self) -> dict[str, str]:
        """Return ``{"resource": ..., "kind": "AzureManagedIdentity"}``."""
        return {"resource": self._resource, "kind": self._kind}
