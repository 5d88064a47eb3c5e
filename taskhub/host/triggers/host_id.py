"""PURE: the name under which a host keeps what it remembers, so that the next one of the same app finds it.

Source: Azure Functions host, ScriptHostIdProvider. Differs where the same app runs in another folder or machine: then
it is another host, unless ``AzureFunctionsWebHost__hostid`` says that they are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.wiring import find_setting

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH = 32


def host_id_of(settings: Mapping[str, str], *, machine: str, app_root: str) -> str:
    """Return the id of a host.

    Args:
        settings: app settings.
        machine: name of the machine.
        app_root: folder of the app.
    """
    named = find_setting(settings, "AzureFunctionsWebHost__hostid") or find_setting(
        settings, "AzureFunctionsWebHost:hostid"
    )
    if named:
        return named
    site = find_setting(settings, "WEBSITE_SITE_NAME")
    letters = "".join(character for character in machine if character.isalnum())
    name = site or f"{letters}-{abs(_stable_hash(app_root))}"
    return name[:MAX_LENGTH].lower().rstrip("-")


def _stable_hash(text: str) -> int:
    """Return the host's own 32-bit hash of a text."""
    value = 23
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        value = (value * 31 + unit) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value
