"""UUIDs that are the same on each replay: made of the instance, the orchestration's clock and a counter.

Apart from the context, because most apps need none, and the standard library's ``uuid`` is not small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, NAMESPACE_URL, UUID, uuid5

from azure.durable_functions.constants import DATETIME_STRING_FORMAT

if TYPE_CHECKING:
    from datetime import datetime

_NAMESPACE = uuid5(NAMESPACE_OID, "9e952958-5e33-4daf-827f-2fa12937b875")


def text_uuid(instance_id: str, now: datetime, count: int) -> str:
    """Return what ``context.new_uuid`` gives."""
    return str(uuid5(_NAMESPACE, f"{instance_id}_{now:{DATETIME_STRING_FORMAT}}_{count}"))


def guid(instance_id: str, now: datetime, count: int) -> UUID:
    """Return what ``context.new_guid`` gives."""
    return uuid5(NAMESPACE_URL, f"{instance_id}_{now}_{count}")
