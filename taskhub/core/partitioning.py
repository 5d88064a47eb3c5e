"""Instance id → partition, and app name → app lease id: both are 32-bit FNV-1a, as the reference computes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from taskhub.model.ids import PartitionIndex

if TYPE_CHECKING:
    from taskhub.model.ids import InstanceId

_OFFSET_BASIS = 2_166_136_261
_PRIME = 16_777_619
_SURROGATE = re.compile("[\ud800-\udfff]")


def fnv1a(data: bytes) -> int:
    """Return the 32-bit FNV-1a hash of ``data``, 0 to 2**32 - 1."""
    value = _OFFSET_BASIS
    for byte in data:
        value = ((value ^ byte) * _PRIME) & 0xFFFFFFFF
    return value


def partition_of(instance_id: InstanceId, partition_count: int) -> PartitionIndex:
    """Return the partition that owns an instance.

    The hash is over the raw id, neither escaped nor case-folded. ``partition_count`` is fixed for a hub's life:
    changing it strands messages.

    Source: DurableTask.AzureStorage, Fnv1aHashHelper.
    """
    return PartitionIndex(fnv1a(_utf8(instance_id)) % partition_count)


def app_lease_id(app_name: str) -> str:
    """Return the lease id under which all workers of an app share the app lease: a GUID text.

    Source: DurableTask.AzureStorage, AppLeaseManager (the hash becomes the first four bytes of the GUID).
    """
    return f"{fnv1a(_utf8(app_name)):08x}-0000-0000-0000-000000000000"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # .NET's encoder puts U+FFFD for half of a surrogate pair.
        return _SURROGATE.sub("\ufffd", text).encode()
