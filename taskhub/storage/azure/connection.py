"""Where an account is and how to sign for it: connection strings, identity, the emulator."""

from __future__ import annotations

import importlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.credentials_async import AsyncTokenCredential

EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's fixed and public account; no secret."""

EMULATOR_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}

SERVICES = ("blob", "queue", "table")


@dataclass(frozen=True)
class Connection:
    """An account, ready to be opened."""

    endpoints: Mapping[str, str]
    """By service, without a slash at the end."""
    credential: AzureNamedKeyCredential | AzureSasCredential | AsyncTokenCredential
    is_emulator: bool


def parse_connection_string(text: str) -> Connection:
    """Return the account that a connection string names.

    Raises:
        ConfigurationError: a part is missing or unreadable; the message never has a key in it.
    """
    parts: dict[str, str] = {}
    for part in text.strip().strip(";").split(";"):
        key, separator, value = part.partition("=")
        if not separator:
            raise ConfigurationError(
                "the storage connection string is not of the form Name=Value;Name=Value: "
                f"there is no '=' in its part of {len(part)} characters"
            )
        parts[key.strip().lower()] = value.strip()
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        base = parts.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
        endpoints = {service: f"{base}:{port}/{EMULATOR_ACCOUNT}" for service, port in EMULATOR_PORTS.items()}
        return Connection(endpoints, AzureNamedKeyCredential(EMULATOR_ACCOUNT, EMULATOR_KEY), is_emulator=True)
    name, secret, signature = parts.get("accountname"), parts.get("accountkey"), parts.get("sharedaccesssignature")
    protocol, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
    endpoints = {}
    for service in SERVICES:
        if own := parts.get(f"{service}endpoint"):
            endpoints[service] = own.rstrip("/")
        elif name:
            endpoints[service] = f"{protocol}://{name}.{service}.{suffix}"
        else:
            raise ConfigurationError(
                f"the storage connection string has neither AccountName nor {service.title()}Endpoint"
            )
    if signature:
        return Connection(endpoints, AzureSasCredential(signature.lstrip("?")), is_emulator=False)
    if not name or not secret:
        raise ConfigurationError(
            "the storage connection string has neither AccountName with AccountKey nor SharedAccessSignature"
        )
    is_emulator = endpoints["queue"].endswith(f"/{name}")  # Azure has the account in the host's name
    return Connection(endpoints, AzureNamedKeyCredential(name, secret), is_emulator)


def identity_connection(
    account_name: str | None,
    uris: Mapping[str, str | None],
    credential: str | None,
    client_id: str | None,
    *,
    tenant_id: str | None = None,
    client_secret: str | None = None,
) -> Connection:
    """Return an account to which an identity opens the door; see :func:`taskhub.storage.azure.open_azure`.

    Raises:
        ConfigurationError: an endpoint is missing, or the package azure-identity, or the parts contradict each other.
    """
    endpoints = {service: uri.rstrip("/") for service, uri in uris.items() if uri}
    if account_name:
        of_account = {service: f"https://{account_name}.{service}.core.windows.net" for service in SERVICES}
        endpoints = {**of_account, **endpoints}
    if missing := [f"{service}ServiceUri" for service in SERVICES if service not in endpoints]:
        raise ConfigurationError(
            f"a storage connection by identity needs accountName, or all service URIs: {', '.join(missing)} is missing"
        )
    for service, endpoint in endpoints.items():
        if not endpoint.lower().startswith("https://"):
            raise ConfigurationError(
                f"{service}ServiceUri of a storage connection by identity is '{endpoint}', but must begin with "
                "https://: a token never travels in the open"
            )
    return Connection(endpoints, _identity(credential, client_id, tenant_id, client_secret), is_emulator=False)


def _identity(
    credential: str | None, client_id: str | None, tenant_id: str | None, client_secret: str | None
) -> AsyncTokenCredential:
    if credential is not None and credential.lower() != "managedidentity":
        raise ConfigurationError(f"credential of a storage connection is managedidentity or absent, not {credential!r}")
    if client_secret and not (client_id and tenant_id):
        raise ConfigurationError("clientSecret of a storage connection needs clientId and tenantId beside it")
    try:
        identity: Any = importlib.import_module("azure.identity.aio")
    except ImportError as error:
        raise ConfigurationError(
            "a storage connection by identity needs the package azure-identity: pip install 'durable-taskhub[identity]'"
        ) from error
    token: AsyncTokenCredential
    if credential is not None:
        token = identity.ManagedIdentityCredential(client_id=client_id)
    elif client_secret:
        token = identity.ClientSecretCredential(tenant_id, client_id, client_secret)
    else:
        token = identity.DefaultAzureCredential(managed_identity_client_id=client_id)
    return token


def emulator_is_listening(host: str = "127.0.0.1") -> bool:
    """Return whether something listens on all three ports of the emulator; takes a moment at most."""
    try:
        for port in EMULATOR_PORTS.values():
            socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True
