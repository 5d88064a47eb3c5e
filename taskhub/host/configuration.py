"""What an app is configured with: ``host.json``, ``local.settings.json`` and the environment.

Order of strength: the environment (a non-empty variable), ``local.settings.json``, ``host.json``. A variable
``AzureFunctionsJobHost__a__b`` replaces ``a.b`` of ``host.json``, whatever the letter case.

Source: Azure Functions host, host.json reference; Durable Task extension, DurableTaskOptions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host.durable_options import DurableOptions, read_durable_options, time_span
from taskhub.host.http_options import HttpOptions, LocalHost, read_http_options, read_local_host
from taskhub.host.json_files import read_json_object
from taskhub.host.triggers.options import BlobOptions, QueueOptions, read_blob_options, read_queue_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_OVERRIDE = re.compile(r"azurefunctionsjobhost(?:__|:)(.+)", re.IGNORECASE)
_SETTING = re.compile(r"%([^%]+)%")
_LEVELS = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What ``local.settings.json`` gives, once the environment had its say."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Settings to put into the environment."""
    host: LocalHost = field(default_factory=LocalHost)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostConfiguration:
    """Everything the host needs to know before it loads the app."""

    app_root: Path
    settings: Mapping[str, str]
    """App settings: the environment with the values of ``local.settings.json`` that it did not define."""
    added_settings: Mapping[str, str]
    """The part of ``settings`` that is not in the environment yet; user code expects it there."""
    durable: DurableOptions
    http: HttpOptions = field(default_factory=HttpOptions)
    functions: frozenset[str] | None = None
    """Names, lower-case, of the only functions to load; ``None``: all."""
    log_levels: Mapping[str, str] = field(default_factory=dict)
    """Category prefix, lower-case, to level name; ``default`` for all others."""
    function_timeout_seconds: float | None = None
    """How long a function may run; ``None``: as long as it likes. Orchestrators are not meant."""
    local_host: LocalHost = field(default_factory=LocalHost)
    queues: QueueOptions = field(default_factory=QueueOptions)
    blobs: BlobOptions = field(default_factory=BlobOptions)
    warnings: tuple[str, ...] = ()

    @property
    def route_prefix(self) -> str:
        """What stands before the route of every HTTP function."""
        return self.http.route_prefix

    def with_functions(self, names: Iterable[str] | None) -> HostConfiguration:
        """Return the configuration with only these functions to load, or as it is."""
        return self if names is None else replace(self, functions=frozenset(name.lower() for name in names))


def load_configuration(app_root: Path, environment: Mapping[str, str], *, hub: str | None = None) -> HostConfiguration:
    """Read the files of an app.

    Args:
        app_root: folder of the app.
        environment: variables of the process; not changed here.
        hub: task hub name that wins over all others (``--hub``).

    Raises:
        ConfigurationError: a file or a value is wrong; the message names it, the value, the range and the fix.
    """
    if not app_root.is_dir():
        raise ConfigurationError(
            f"{app_root} is not a folder. Give the folder that holds host.json or function_app.py."
        )
    local = read_local_settings(app_root / "local.settings.json", environment)
    settings = {**environment, **local.values}
    _check_runtime(settings)
    document, warnings = _read_host_json(app_root / "host.json")
    document = _with_overrides(document, settings)
    extensions = _section(document, "extensions")
    http = read_http_options(_section(extensions, "http", "extensions."))
    is_development = settings.get("AZURE_FUNCTIONS_ENVIRONMENT", "Development").lower() == "development"
    durable = read_durable_options(_section(extensions, "durableTask", "extensions."), settings, hub=hub)
    return HostConfiguration(
        app_root=app_root,
        settings=settings,
        added_settings=local.values,
        durable=durable,
        http=http,
        functions=_allowed_functions(document),
        log_levels=_log_levels(document),
        function_timeout_seconds=_function_timeout(document),
        local_host=local.host,
        queues=read_queue_options(_section(extensions, "queues", "extensions."), is_development=is_development),
        blobs=read_blob_options(_section(extensions, "blobs", "extensions."), is_development=is_development),
        warnings=(*local.warnings, *warnings, *http.warnings, *durable.warnings),
    )


def resolve_settings(text: str, settings: Mapping[str, str]) -> str:
    """Replace ``%NAME%`` by the app setting of that name; an unknown one stays as it is."""
    return _SETTING.sub(lambda found: settings.get(found[1], found[0]), text)


# ---- local.settings.json


def read_local_settings(path: Path, environment: Mapping[str, str]) -> LocalSettings:
    """Read ``local.settings.json``; a missing file gives no settings, a broken one a warning.

    Raises:
        ConfigurationError: the settings are encrypted.
    """
    if not path.is_file():
        return LocalSettings()
    try:
        document, trailing = read_json_object(path)
    except ConfigurationError as error:
        return LocalSettings(warnings=(f"{error} It is ignored.",))
    warnings = [trailing] if trailing else []
    values = _part(document, "Values", warnings)
    if document.get("IsEncrypted") is True and values:
        raise ConfigurationError(
            f"{path} holds encrypted settings, which this host cannot read. "
            "Run `func settings decrypt` in the folder of the app."
        )
    added: dict[str, str] = {}
    for key, value in values.items():
        if not key:
            warnings.append(f"{path.name}: a value without a name is ignored.")
        elif value is None:
            warnings.append(f"{path.name}: '{key}' is null and is ignored.")
        elif environment.get(key):
            warnings.append(
                f"Skipping '{key}' from local settings as it's already defined in current environment variables."
            )
        else:
            added[key] = _as_text(value)
    for name, entry in _part(document, "ConnectionStrings", warnings).items():
        text = entry.get("ConnectionString") if isinstance(entry, dict) else entry
        if isinstance(text, str):
            added.setdefault(f"ConnectionStrings:{name}", text)
    host = read_local_host(_part(document, "Host", warnings))
    return LocalSettings(added, host, (*warnings, *host.warnings))


def _part(document: Mapping[str, Any], name: str, warnings: list[str]) -> Mapping[str, Any]:
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        warnings.append(f"local.settings.json: '{name}' must be an object; it is ignored.")
        return {}
    return value


def _as_text(value: object) -> str:
    # True and False as .NET writes them: the settings of the original went through it.
    return value if isinstance(value, str) else str(value)


def _check_runtime(settings: Mapping[str, str]) -> None:
    runtime = settings.get("FUNCTIONS_WORKER_RUNTIME", "")
    if runtime and runtime.lower() != "python":
        raise ConfigurationError(
            f"FUNCTIONS_WORKER_RUNTIME is '{runtime}', but this host runs Python apps only. "
            "Set it to 'python' in local.settings.json or in the environment."
        )


# ---- host.json


def _read_host_json(path: Path) -> tuple[dict[str, Any], list[str]]:
    if not path.is_file():
        return {"version": "2.0"}, []
    document, warning = read_json_object(path)
    version = document.get("version")
    if version != "2.0":
        said = "no version" if version is None else f"version {version!r}"
        raise ConfigurationError(f'{path} has {said}; this host reads version "2.0". Add "version": "2.0".')
    return document, [warning] if warning else []


def _with_overrides(document: dict[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    for name, value in settings.items():
        found = _OVERRIDE.fullmatch(name)
        if found:
            document = _put(document, re.split(r"__|:", found[1]), value)
    return document


def _put(node: Any, path: list[str], value: str) -> Any:
    """Return a copy of ``node`` in which ``value`` stands at ``path``; keys compare ignoring case."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(node, list) and step.isdigit():
        index = int(step)
        items = [*node, *([None] * (index + 1 - len(node)))]
        items[index] = _put(items[index], rest, value)
        return items
    table = dict(node) if isinstance(node, dict) else {}
    key = next((known for known in table if known.lower() == step.lower()), step)
    below = table.get(key)
    if below is None and rest and rest[0].isdigit():
        below = []
    table[key] = _put(below, rest, value)
    return table


def _section(document: Mapping[str, Any], name: str, above: str = "") -> Mapping[str, Any]:
    value = next((value for key, value in document.items() if key.lower() == name.lower()), None)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"host.json: {above}{name} is {value!r}; it must be an object.")
    return value


def _allowed_functions(document: Mapping[str, Any]) -> frozenset[str] | None:
    names = next((value for key, value in document.items() if key.lower() == "functions"), None)
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"host.json: functions is {names!r}; it must be an array of function names.")
    return frozenset(name.lower() for name in names)


def _function_timeout(document: Mapping[str, Any]) -> float | None:
    value = next((value for key, value in document.items() if key.lower() == "functiontimeout"), None)
    if value is None or str(value).strip() == "-1":
        return None
    try:
        seconds = time_span(value)
    except ValueError:
        seconds = 0
    if seconds <= 0:
        raise ConfigurationError(
            f'host.json: functionTimeout is {value!r}; it must be a time span "hh:mm:ss" above zero, or "-1" for none.'
        )
    return seconds


def _log_levels(document: Mapping[str, Any]) -> Mapping[str, str]:
    levels = _section(_section(document, "logging"), "logLevel", "logging.")
    known = {level.lower(): level for level in _LEVELS}
    result = {}
    for category, level in levels.items():
        if str(level).lower() not in known:
            raise ConfigurationError(
                f"host.json: logging.logLevel.{category} is {level!r}; it must be one of {', '.join(_LEVELS)}."
            )
        result[category.lower()] = known[str(level).lower()]
    return result
