"""Output bindings that are no answers: what a function set for them is delivered once it has returned.

What goes to storage is written by :mod:`taskhub.host.triggers.storage_bindings`, the rest here.

``twilioSms`` sends nothing yet: the text is written to the console as a warning, so that apps which notify people by
SMS run to their end without an account. (The original does not even load them without one.)
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from taskhub.host.functions import STORED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.functions.meta import Datum

    from taskhub.host.functions import Binding

HTTP = "http"
"""The answer of an HTTP function; it goes back with the request."""

logger = logging.getLogger(__name__)


def deliver(binding: Binding, value: Datum) -> None:
    """Deliver what a function set for an output binding, unless others do it: answers, and what goes to storage."""
    if binding.kind != HTTP and binding.kind not in STORED:
        _DELIVERIES[binding.kind](binding, value)


def _show_sms(binding: Binding, value: Datum) -> None:
    try:
        message = json.loads(value.value)
    except ValueError:
        message = value.value
    fields: Mapping[str, object] = message if isinstance(message, dict) else {"body": message}
    logger.warning(
        "No SMS is sent by this host. Output '%s' would have sent to %s: %s",
        binding.name,
        fields.get("to") or binding.properties.get("to") or "nobody",
        fields.get("body") or binding.properties.get("body") or "",
    )


_DELIVERIES: Mapping[str, Callable[[Binding, Datum], None]] = {"twiliosms": _show_sms}

OUTPUTS = frozenset({HTTP, *STORED, *_DELIVERIES})
"""Types of output bindings that this host serves, in lower case."""
