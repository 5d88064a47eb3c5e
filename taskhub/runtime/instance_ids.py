"""Which instance ids are possible; for hosts, which do not know how ids are stored."""

from __future__ import annotations

from taskhub.codec.keys import MAX_INSTANCE_ID_UNITS, refusal_of_instance_id

__all__ = ["MAX_INSTANCE_ID_UNITS", "refusal_of_instance_id"]
