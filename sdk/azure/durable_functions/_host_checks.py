"""What is said about the app's folder when the package is imported."""

from __future__ import annotations

import json
import sys
import warnings

_OLD_BUNDLE = "[1.*, 2.0.0)"


class DurableFunctionsCompatibilityWarning(UserWarning):
    """What the reference warns with of apps written for ``function.json``.

    Here both programming models are there to stay, and nothing emits it; apps that filter it keep working.
    """


def warn_of_old_bundle() -> None:
    """Warn when ``./host.json`` asks for the extension bundle of version 1. Never raises."""
    if "pytest" in sys.modules:
        return
    try:
        with open("host.json", "rb") as file:
            version = json.loads(file.read())["extensionBundle"]["version"]
    except (OSError, ValueError, KeyError, TypeError):  # no file, or one that is the host's to complain about
        return
    if version == _OLD_BUNDLE:
        warnings.warn(
            "host.json asks for extension bundle 1, which holds an old Durable Functions extension; "
            'version "[4.*, 5.0.0)" holds the current one',
            stacklevel=3,
        )
