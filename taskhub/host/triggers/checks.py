"""What is wrong with the triggers and bindings of a function, found when it is loaded and not when it first runs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host import functions
from taskhub.host.bindings import BindingError
from taskhub.host.functions import LISTENED_TRIGGERS, QUEUE_TRIGGER, STORED
from taskhub.host.triggers.blob_paths import check_container, parse_pattern, split_path
from taskhub.host.triggers.connections import check_connection
from taskhub.host.triggers.expressions import TemplateError, parse_template
from taskhub.host.triggers.queue_texts import is_queue_name
from taskhub.host.triggers.schedules import ScheduleError, zone_of
from taskhub.host.triggers.timer_status import timer_of
from taskhub.wiring import DEFAULT_SETTING, EmbeddedStore, choose_store, find_setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo
    from pathlib import Path

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.functions import Binding, Function

_SETTING = re.compile(r"%([^%]+)%")
_ZONE_SETTINGS = ("WEBSITE_TIME_ZONE", "TZ")


def prepared(function: Function, settings: Mapping[str, str], app_root: Path) -> Function:
    """Return a function with the settings put in that its triggers and bindings name (``%NAME%``), after checks.

    Raises:
        BindingError: a setting is missing, or a schedule, a name, a path or a connection makes no sense.
    """
    bindings = tuple(
        _with_settings(binding, settings) if binding.kind in LISTENED_TRIGGERS | STORED else binding
        for binding in function.bindings
    )
    for binding in bindings:
        _check(binding, settings, app_root)
    return replace(function, bindings=bindings)


def check_clients(plan: CallPlan, settings: Mapping[str, str], app_root: Path) -> None:
    """See that what gets a client of a service has a service: the embedded store is none.

    Raises:
        BindingError: it has not.
    """
    for name, item in plan.inputs.items():
        if item.is_client:
            setting = item.binding.properties.get("connection") or DEFAULT_SETTING
            choice = choose_store(None, app_settings=settings, app_root=app_root, setting=setting)
            if isinstance(choice, EmbeddedStore):
                raise BindingError(
                    f"the parameter '{name}' wants a client of Azure Blob Storage, which the embedded store has not. "
                    f"Start an emulator and set {setting} to UseDevelopmentStorage=true, or to an account."
                )


def time_zone(settings: Mapping[str, str]) -> tzinfo:
    """Return the zone whose clock timers follow: ``WEBSITE_TIME_ZONE``, else ``TZ``, else UTC.

    Raises:
        BindingError: there is no such zone.
    """
    for name in _ZONE_SETTINGS:
        value = find_setting(settings, name)
        if value:
            try:
                return zone_of(name, value)
            except ScheduleError as error:
                raise BindingError(str(error)) from error
    return zone_of("", None)


def _with_settings(binding: Binding, settings: Mapping[str, str]) -> Binding:
    def resolved(value: Any) -> Any:
        return _SETTING.sub(setting, value) if isinstance(value, str) else value

    def setting(found: re.Match[str]) -> str:
        value = find_setting(settings, found[1])
        if value is None:
            raise BindingError(
                f"'{found[0]}' does not resolve to a value. Add the setting '{found[1]}' to local.settings.json or the "
                "environment."
            )
        return value

    return replace(binding, properties={name: resolved(value) for name, value in binding.properties.items()})


def _check(binding: Binding, settings: Mapping[str, str], app_root: Path) -> None:
    try:
        match binding.kind:
            case functions.TIMER_TRIGGER:
                timer_of(binding, time_zone(settings))
                return
            case functions.QUEUE_TRIGGER | functions.QUEUE:
                _check_queue(binding)
            case functions.BLOB_TRIGGER:
                parse_pattern(_text(binding, "path"))
            case functions.BLOB:
                _check_blob_path(_text(binding, "path"))
            case _:
                return
        connection = binding.properties.get("connection")
        if connection is not None and not isinstance(connection, str):
            raise BindingError(f"connection of binding '{binding.name}' is {connection!r}; it must name a setting.")
        check_connection(connection, settings, app_root)
    except (TemplateError, ConfigurationError) as error:
        raise BindingError(str(error)) from error


def _check_queue(binding: Binding) -> None:
    name = _text(binding, "queueName")
    is_literal = not parse_template(name).expressions
    if not is_literal and binding.kind == QUEUE_TRIGGER:
        raise BindingError(f"the queueName '{name}' of a queueTrigger must not have expressions.")
    if is_literal and not is_queue_name(name.lower()):
        raise BindingError(
            f"'{name}' is no name of a queue. It must be 3 to 63 letters, digits and single '-', and begin and end "
            "with a letter or digit."
        )


def _check_blob_path(path: str) -> None:
    template = parse_template(path)
    if not template.expressions:
        split_path(path)
    elif isinstance(template.parts[0], str) and "/" in template.parts[0].lstrip("/"):
        check_container(template.parts[0].lstrip("/").partition("/")[0].lower())


def _text(binding: Binding, name: str) -> str:
    value = binding.properties.get(name.lower())
    if not isinstance(value, str) or not value.strip():
        raise BindingError(f"binding '{binding.name}' of type '{binding.type}' needs a {name}.")
    return value
