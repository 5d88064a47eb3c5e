"""The ``taskhub`` command, with settings of the task hub that ``host.json`` does not have; for benchmarks.

Usage: ``python -m benchmarks.tuned_host '{"warm_sessions": false}' start APP ...``: names and values of
:class:`taskhub.settings.TaskHubSettings`, then what follows ``taskhub``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskhub.cli.__main__ import main as taskhub_main
from taskhub.host import configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.host.configuration import HostConfiguration


def main() -> None:
    """Run the command."""
    settings = json.loads(sys.argv.pop(1))
    # The host takes the function from the module, when it is imported by the command.
    configuration.load_configuration = with_settings(configuration.load_configuration, settings)
    taskhub_main()


def with_settings(load: Callable[..., HostConfiguration], settings: dict[str, Any]) -> Callable[..., HostConfiguration]:
    """Return a reader of an app's configuration that changes settings of the hub."""

    def load_tuned(*arguments: Any, **options: Any) -> HostConfiguration:
        loaded = load(*arguments, **options)
        return replace(loaded, durable=replace(loaded.durable, hub=replace(loaded.durable.hub, **settings)))

    return load_tuned


if __name__ == "__main__":
    main()
