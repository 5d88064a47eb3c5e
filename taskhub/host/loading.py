"""Imports an app and says what was found; bad functions, or a bad app, leave the host running."""

from __future__ import annotations

import dataclasses
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskhub.host.app_loader import enter_app, load_app
from taskhub.host.bindings import BindingError
from taskhub.host.call_plan import CallPlan, plan_call
from taskhub.host.durable_payloads import JsonPayloads
from taskhub.host.functions import DURABLE_TRIGGERS, LISTENED_TRIGGERS, FunctionError
from taskhub.host.http_functions import check_route
from taskhub.host.imports import importing
from taskhub.host.invoker import Invoker, thread_count_of
from taskhub.host.official_sdk import Drive
from taskhub.host.triggers.checks import check_clients, prepared
from taskhub.host.worker_extensions import are_enabled, invocation_hooks, run_after_load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.host.application import Orchestrations
    from taskhub.host.configuration import HostConfiguration
    from taskhub.host.console import Console
    from taskhub.host.durable_payloads import DurablePayloads
    from taskhub.host.functions import App, Function
    from taskhub.host.observers import Observers
    from taskhub.host.official_sdk import Sdk
    from taskhub.host.triggers.storage_bindings import StorageBindings
    from taskhub.settings import TaskHubSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """What is left of an app to run."""

    functions: Sequence[Function]
    plans: Sequence[CallPlan]
    errors: Sequence[str]

    @property
    def is_durable(self) -> bool:
        """Whether there is something for a worker of a task hub."""
        return any(function.trigger.kind in DURABLE_TRIGGERS for function in self.functions)

    @property
    def has_work(self) -> bool:
        """Whether there is something to do without requests: for a worker, or for what listens."""
        return self.is_durable or any(
            function.trigger.kind in LISTENED_TRIGGERS and not function.is_disabled for function in self.functions
        )


def load_functions(
    configuration: HostConfiguration, console: Console, *, is_official: bool = False, is_told: bool = True
) -> LoadedApp:
    """Import the app.

    Args:
        configuration: of the app.
        console: where it is said.
        is_official: whether the app runs on the official SDK.
        is_told: false in processes beside the one that says it.
    """
    enter_app(configuration.app_root)
    with importing():
        app = load_app(configuration)
    loaded = plan_app(app, configuration, is_official=is_official)
    if is_told:
        for name in _missing(configuration, app):
            console.warning(
                f"There is no function '{name}' in the app; --functions and host.json load only those that they name."
            )
        _tell(console, loaded.plans, app.warnings, loaded.errors)
    return loaded


def plan_app(app: App, configuration: HostConfiguration, *, is_official: bool = False) -> LoadedApp:
    """Return how to call the functions of an app, and what keeps the others from running."""
    planned = [_plan(function, configuration, is_official) for function in app.functions]
    plans = [plan for plan in planned if isinstance(plan, CallPlan)]
    bad = [error for error in planned if isinstance(error, FunctionError)]
    errors = [*([app.failure] if app.failure else []), *map(str, app.errors), *map(str, bad)]
    return LoadedApp([plan.function for plan in plans], plans, errors)


def make_invoker(
    configuration: HostConfiguration,
    console: Console,
    storage: StorageBindings,
    observers: Observers,
) -> Invoker:
    """Return what runs the functions of an app, as it is configured."""
    return Invoker(
        console,
        thread_count=thread_count_of(os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT")),
        timeout_seconds=configuration.function_timeout_seconds,
        storage=storage,
        within=observers.within,
    )


def orchestrations_of(
    sdk: Sdk, invoker: Invoker, settings: TaskHubSettings, client_payload: Callable[[Mapping[str, Any]], str]
) -> Orchestrations:
    """Return how the orchestrators of an app are driven.

    Args:
        sdk: that the app runs on.
        invoker: runs the functions.
        settings: limits of the task hub.
        client_payload: makes the text that a durable client binding receives, from that binding's properties.
    """
    if sdk.drive is Drive.JSON:
        from taskhub.host.json_orchestrations import JsonOrchestrations  # most hosts do without

        return JsonOrchestrations(invoker, settings, client_payload)
    if sdk.drive is Drive.PROTOBUF:
        from taskhub.host.protobuf.orchestrations import ProtobufOrchestrations  # as above
        from taskhub.host.protobuf.schema import load_messages

        return ProtobufOrchestrations(invoker, settings, client_payload, load_messages())
    from taskhub.host.live_orchestrations import LiveOrchestrations  # needs our SDK

    return LiveOrchestrations(invoker, settings)


def payloads_of(sdk: Sdk) -> DurablePayloads:
    """Return what the activities and entities of an app receive and answer.

    Args:
        sdk: that the app runs on.
    """
    if sdk.drive is Drive.PROTOBUF:
        from taskhub.host.protobuf.payloads import ProtobufPayloads  # most hosts do without
        from taskhub.host.protobuf.schema import load_messages

        return ProtobufPayloads(load_messages())
    return JsonPayloads()


def _missing(configuration: HostConfiguration, app: App) -> list[str]:
    found = {each.name.lower() for each in app.functions} | {each.name.lower() for each in app.errors}
    return sorted((configuration.functions or frozenset()) - found) if app.failure is None else []


def _tell(console: Console, plans: Sequence[CallPlan], warnings: Sequence[str], errors: Sequence[str]) -> None:
    console.line("Worker process started and initialized.")
    for warning in warnings:
        console.warning(warning)
    for error in errors:
        console.error(error)
    if not plans:
        console.warning(
            "No job functions found. Define functions in function_app.py with the decorators of a func.FunctionApp, or "
            "in folders with a function.json."
        )


def _plan(function: Function, configuration: HostConfiguration, is_official: bool) -> CallPlan | FunctionError:
    try:
        check_route(function, configuration.route_prefix)
        function = prepared(function, configuration.settings, configuration.app_root)
        plan = plan_call(function, is_official=is_official)
        check_clients(plan, configuration.settings, configuration.app_root)
    except BindingError as error:
        return FunctionError(function.name, str(error))
    if not are_enabled(configuration.settings):
        return plan
    run_after_load(function)
    return dataclasses.replace(plan, hooks=invocation_hooks(function))
