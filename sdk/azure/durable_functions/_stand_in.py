"""Answers for ``azure-functions-durable`` where its version is asked for by name.

Libraries that watch Durable Functions, and apps, ask ``importlib.metadata`` for the version of the official
distribution and fail where there is none: Datadog's tracer does as soon as this package is imported. Here they learn
which release this package stands in for. A distribution that is really installed comes first, and lists of all
distributions do not name this one: only who asks for the name gets the answer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution

NAME = "azure-functions-durable"
VERSION = "1.7.0"
"""The release whose API, messages and behaviour this package has."""


class StandIn:
    """A finder of ``sys.meta_path`` that finds no modules and one distribution."""

    @staticmethod
    def find_spec(fullname: str, path: Any = None, target: Any = None) -> None:
        """Find no module."""

    @staticmethod
    def find_distributions(context: Any) -> Iterable[Distribution]:
        """Return the stand-in when it is asked for by its name, and not in certain folders.

        Args:
            context: an ``importlib.metadata.DistributionFinder.Context``.
        """
        asked = (getattr(context, "name", None) or "").lower().replace("_", "-").replace(".", "-")
        if asked != NAME or "path" in vars(context):
            return ()
        return (_distribution(),)


def stand_in() -> None:
    """Begin to answer; where this package is imported anew, the finder of before is replaced."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if _home(type(finder)) != _home(StandIn)]
    sys.meta_path.append(StandIn())


def _home(kind: type) -> tuple[str, str]:
    return kind.__module__, kind.__qualname__


def _distribution() -> Distribution:
    from importlib import metadata  # costs a hundredth of a second, and few ask

    class StandInDistribution(metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n" if filename == "METADATA" else None

        def locate_file(self, path: Any) -> Any:
            raise FileNotFoundError(f"{NAME} is not installed here: durable-taskhub stands in for it")

    return StandInDistribution()
