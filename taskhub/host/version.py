"""Version of the installed package."""

from __future__ import annotations

from importlib import metadata


def package_version() -> str:
    """Return the version, ``unknown`` when the package runs from a folder without being installed."""
    try:
        return metadata.version("durable-taskhub")
    except metadata.PackageNotFoundError:
        return "unknown"
