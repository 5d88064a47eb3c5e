"""Worker extensions: code of packages that runs after a function was loaded, and before and after each of its runs.

They register with the app's own ``azure.functions`` when their modules are imported (for the app) or when they are
made in a function's folder (for that function). What they raise is logged and does the function no harm.

Source: Azure Functions Python worker, ExtensionManager; azure-functions, ExtensionMeta.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import azure.functions as func

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskhub.host.functions import Function

SWITCH = "PYTHON_ENABLE_WORKER_EXTENSIONS"
"""App setting that turns them off."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hook:
    """One method of one extension."""

    extension: str
    call: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class InvocationHooks:
    """What runs around a function."""

    before: Sequence[Hook]
    after: Sequence[Hook]

    def run_before(self, context: object, arguments: Mapping[str, Any]) -> None:
        """Run what comes before the function."""
        for hook in self.before:
            _run(hook, logging.getLogger(hook.extension), context, arguments)

    def run_after(self, context: object, arguments: Mapping[str, Any], returned: object) -> None:
        """Run what comes after a function that succeeded."""
        for hook in self.after:
            _run(hook, logging.getLogger(hook.extension), context, arguments, returned)


def are_enabled(settings: Mapping[str, str]) -> bool:
    """Return whether extensions run, as the app's settings say."""
    return settings.get(SWITCH, "1").strip().lower() not in ("0", "false", "no", "off")


def run_after_load(function: Function) -> None:
    """Run what the extensions do when a function was loaded."""
    for hook in _hooks(function.name, "post_function_load", "post_function_load_app_level"):
        _run(hook, function.name, str(function.directory))


def invocation_hooks(function: Function) -> InvocationHooks | None:
    """Return what runs around a function, ``None`` when nothing does."""
    before = list(_hooks(function.name, "pre_invocation", "pre_invocation_app_level"))
    after = list(_hooks(function.name, "post_invocation", "post_invocation_app_level"))
    return InvocationHooks(before, after) if before or after else None


def _hooks(function: str, of_function: str, of_app: str) -> Iterator[Hook]:
    registry = getattr(func, "ExtensionMeta", None)
    if registry is None:
        return
    for hooks, name in (
        (registry.get_function_hooks(function), of_function),
        (registry.get_application_hooks(), of_app),
    ):
        for hook in getattr(hooks, name, ()):
            yield Hook(hook.ext_name, hook.ext_impl)


def _run(hook: Hook, *arguments: Any) -> None:
    try:
        hook.call(*arguments)
    except Exception:  # an extension watches functions; it must not end them
        logger.exception("The worker extension %s failed", hook.extension)
