"""PURE: where a host stands, by its environment: on a developer's machine, in a container, behind the Functions host.

*Behind the Functions host*, as its custom handler, the port is given and all requests come from that host, which keeps
``/admin`` and ``/runtime/webhooks`` for itself: the management API moves below the route prefix, and URLs begin with
the site's public name. *In a container* that is laid out as Azure's images are, the port is the image's.

Source: Azure Functions custom handlers; Azure Functions images for Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.errors import ConfigurationError
from taskhub.host import routes

if TYPE_CHECKING:
    from collections.abc import Mapping

_HANDLER_PORTS = ("FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT")
_CONTAINER_PORTS = ("WEBSITES_PORT", "PORT")
_SCRIPT_ROOT = "AzureWebJobsScriptRoot"
_IMAGE_PORT = 80
_EVERYWHERE = "0.0.0.0"  # a container is reached from outside, and asks for keys
_URL = re.compile(r"http://(?P<host>\[[^\]]*\]|[^:/]*)(?::(?P<port>\d+))?/?", re.IGNORECASE)
_ALL_HOSTS = ("+", "*", _EVERYWHERE, "[::]")


@dataclass(frozen=True, slots=True)
class Place:
    """How a host is reached, as far as its environment says; what the command line says goes before it."""

    port: int | None = None
    address: str | None = None
    webhook_path: str = routes.WEBHOOK_PATH
    """Where the management API is."""
    public_origin: str | None = None
    """Scheme and authority for URLs; ``None``: as each request wrote them."""
    is_custom_handler: bool = False


NOTHING_TO_SAY: Mapping[str, object] = {"Outputs": {}, "ReturnValue": None, "Logs": []}
"""Answer to an invocation that is there to keep the process alive."""


def is_invocation(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request is the Functions host's call of a function that has no HTTP trigger.

    Triggers of the app are served by our own host; what the Functions host calls is a timer of its own, which keeps it
    and so us awake.

    Args:
        method: HTTP's.
        path: without the slash at its beginning.
        headers: names compare ignoring case.
    """
    return method == "POST" and bool(path) and "/" not in path and "X-Azure-Functions-InvocationId" in headers


def app_root_of(environment: Mapping[str, str]) -> Path:
    """Return the folder of the app when none was named."""
    return Path(environment.get("FUNCTIONS_APP_ROOT_PATH") or environment.get(_SCRIPT_ROOT) or ".")


def find_place(environment: Mapping[str, str], *, route_prefix: str) -> Place:
    """Read an environment.

    Args:
        environment: the process's, before the host adds to it.
        route_prefix: of HTTP functions, without slashes at its ends.

    Raises:
        ConfigurationError: a port is none.
    """
    for name in _HANDLER_PORTS:
        if environment.get(name):
            path = f"/{route_prefix}{routes.HANDLER_PATH}" if route_prefix else routes.HANDLER_PATH
            return Place(
                _port(name, environment[name]),
                webhook_path=path,
                public_origin=_public_origin(environment.get("WEBSITE_HOSTNAME", "")),
                is_custom_handler=True,
            )
    if environment.get(_SCRIPT_ROOT):
        return _container(environment)
    return Place()


def _container(environment: Mapping[str, str]) -> Place:
    for url in environment.get("ASPNETCORE_URLS", "").split(";"):
        if found := _URL.fullmatch(url.strip()):
            host = found["host"]
            port = _port("ASPNETCORE_URLS", found["port"] or str(_IMAGE_PORT))
            return Place(port, _EVERYWHERE if host in _ALL_HOSTS else host.strip("[]"))
    for name in _CONTAINER_PORTS:
        if environment.get(name):
            return Place(_port(name, environment[name]), _EVERYWHERE)
    return Place(_IMAGE_PORT, _EVERYWHERE)


def _public_origin(site: str) -> str | None:
    if not site:
        return None
    is_local = site.partition(":")[0].lower() in ("localhost", "127.0.0.1")
    return f"{'http' if is_local else 'https'}://{site}"


def _port(name: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65_536:
        return int(text)
    raise ConfigurationError(f"{name} is {text!r}, but must be a port: a number from 1 to 65535")
