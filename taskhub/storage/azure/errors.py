"""The service's and the clients' errors become the port's, here and nowhere else."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from taskhub.errors import (
    BlobExists,
    BlobNotFound,
    ContentRefused,
    LeaseHeld,
    MessageGone,
    QueueNotFound,
    RowChanged,
    RowExists,
    RowNotFound,
    StorageError,
    StorageRefused,
    TableNotFound,
    TransientStorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NO_HEADERS: Mapping[str, str] = {}
_LEASE_CODES = (
    "LeaseAlreadyPresent",
    "LeaseIdMismatchWithBlobOperation",
    "LeaseIdMismatchWithContainerOperation",
    "LeaseIdMismatchWithLeaseOperation",
    "LeaseIdMissing",
    "LeaseIsBreakingAndCannotBeAcquired",
    "LeaseIsBreakingAndCannotBeChanged",
    "LeaseIsBrokenAndCannotBeRenewed",
    "LeaseLost",
    "LeaseNotPresentWithBlobOperation",
    "LeaseNotPresentWithContainerOperation",
    "LeaseNotPresentWithLeaseOperation",
)

ERRORS: Mapping[str, type[StorageError]] = {
    "QueueNotFound": QueueNotFound,
    "MessageNotFound": MessageGone,
    "PopReceiptMismatch": MessageGone,
    "TableNotFound": TableNotFound,
    "EntityAlreadyExists": RowExists,
    "EntityNotFound": RowNotFound,
    "ResourceNotFound": RowNotFound,
    "ConditionNotMet": RowChanged,
    "UpdateConditionNotSatisfied": RowChanged,
    "BlobNotFound": BlobNotFound,
    "ContainerNotFound": BlobNotFound,
    "BlobAlreadyExists": BlobExists,
    **dict.fromkeys(_LEASE_CODES, LeaseHeld),
    **dict.fromkeys(("QueueBeingDeleted", "TableBeingDeleted", "ContainerBeingDeleted"), TransientStorageError),
}

CONTENT_STATUSES = (400, 413, 414, 431)
_CREDENTIAL_CODES = ("InvalidAuthenticationInfo", "AuthenticationFailed")

TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)


def refusal(
    what: str, status: int, code: str, message: str = "", *, headers: Mapping[str, str] = _NO_HEADERS
) -> StorageError:
    """Return the port's error for an answer of the service.

    Args:
        what: the call, for people.
        status: of the answer.
        code: the service's error code, empty when it gave none.
        message: its text.
        headers: of the answer.
    """
    kind = ERRORS.get(code)
    if kind is not None:
        return kind(f"{what}: {code}")
    if status in TRANSIENT_STATUSES:
        return TransientStorageError(
            f"{what}: the service answered {status} {code}", retry_after_seconds=_retry_after(headers)
        )
    first_line = message.partition("\n")[0]
    refused = ContentRefused if status in CONTENT_STATUSES and code not in _CREDENTIAL_CODES else StorageRefused
    return refused(f"{what}: the service answered {status} {code}: {first_line}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait; a date, which no storage service sends, is passed over."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isdecimal() else None


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Map whatever the clients and the transport raise in one call; ``what`` is for the message."""
    try:
        yield
    except HttpResponseError as error:
        if isinstance(error, ClientAuthenticationError) and error.status_code is None:
            raise StorageRefused(f"{what}: no token for the storage account: {error}") from error
        if error.status_code is None:  # an answer that broke off
            raise TransientStorageError(f"{what}: {error}") from error
        headers: Mapping[str, str] = getattr(error.response, "headers", _NO_HEADERS)
        raise refusal(what, error.status_code, error_code(error), str(error.message), headers=headers) from error
    except (AzureError, OSError, aiohttp.ClientError, asyncio.TimeoutError) as error:
        raise TransientStorageError(f"{what}: the service could not be reached, or did not answer: {error}") from error


def error_code(error: HttpResponseError) -> str:
    """Return the service's code for an error of the clients; some of them leave it in the headers."""
    code = getattr(error, "error_code", None)
    if code is None and error.response is not None:
        code = error.response.headers.get("x-ms-error-code")  # type: ignore[attr-defined]  # every response has them
    return str(getattr(code, "value", code) or "")


def code_of(error: StorageError) -> str:
    """Return the service's code that a mapped error came from."""
    cause = error.__cause__
    return error_code(cause) if isinstance(cause, HttpResponseError) else ""
