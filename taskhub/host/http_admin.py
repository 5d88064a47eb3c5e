"""What ``/admin`` answers: the state of the host, its functions, a run by hand, and the keys.

``ping`` and ``ready`` are for supervisors and need no key; for all others the server asks for the master key where
authorization is on.

Source: Azure Functions host, admin API; ``functions-host.md`` 5.8.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from taskhub.errors import ConfigurationError, TaskHubError
from taskhub.host.functions import HTTP_TRIGGER
from taskhub.host.http_functions import HttpRequest, full_route
from taskhub.host.http_keys import DURABLE_KEY, MASTER, HostKeys, is_key_name, new_key
from taskhub.host.routes import NOT_FOUND, Request, Response
from taskhub.host.triggers.expressions import TemplateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.functions import Binding, Function
    from taskhub.host.http_functions import HttpFunctions
    from taskhub.host.http_keys import KeyStore

    RunByHand = Callable[[CallPlan, str], Awaitable[object]]

ADMIN_PATH = "/admin"
OPEN_PATHS = frozenset({"/admin/host/ping", "/admin/host/ready"})
"""In lower case; these answer without a key."""

_MAX_BY_HAND = 100
"""Runs by hand at a time; the caller does not wait for them, so nothing else would hold him back."""
_SPELLING = {
    name.lower(): name
    for name in (
        "authLevel", "connectionName", "dataType", "entityName", "queueName", "runOnStartup", "taskHub", "useMonitor",
    )
}  # fmt: skip
"""Properties of bindings, which are kept in lower case, as ``function.json`` has them."""

logger = logging.getLogger(__name__)


class State(enum.Enum):
    """Where a host is in its life."""

    RUNNING = "Running"
    ERROR = "Error"
    """The process serves, but no function could be loaded; the errors say why."""
    STOPPING = "Stopping"


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What supervisors and tools ask."""

    state: State
    not_ready: str | None
    """Why the host should get no work yet, or no more; ``None`` when it should."""
    details: Mapping[str, Any]
    """Id, version and the like; those that are ``None`` are left out."""

    def json(self) -> dict[str, Any]:
        """Return the body of ``/admin/host/status``."""
        return {key: value for key, value in {"state": self.state.value, **self.details}.items() if value is not None}


class Admin:
    """Answers below ``/admin``.

    Args:
        plans: functions of the app.
        errors: what is wrong with functions that could not be loaded.
        status: tells how the host is.
        functions: runs HTTP functions.
        prefix: route prefix.
        keys: where keys are kept; ``None`` where nobody needs one.
        by_hand: by type of trigger in lower case, what runs a function with a value given as text.
    """

    def __init__(
        self,
        plans: Sequence[CallPlan],
        errors: Sequence[str],
        status: Callable[[], HostStatus],
        functions: HttpFunctions,
        *,
        prefix: str,
        keys: KeyStore | None = None,
        by_hand: Mapping[str, RunByHand] | None = None,
    ) -> None:
        self._plans = {plan.function.name.lower(): plan for plan in plans}
        self._errors = errors
        self._status = status
        self._functions = functions
        self._prefix = prefix
        self._keys = keys
        self._by_hand = {HTTP_TRIGGER: self._run_http, **(by_hand or {})}
        self._running: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        return f"<Admin of {len(self._plans)} functions, {len(self._running)} run by hand>"

    async def handle(self, request: Request) -> Response:
        """Answer one request; its path is the part below ``/admin``."""
        segments = [unquote(segment) for segment in request.path.strip("/").split("/")]
        lower = [segment.lower() for segment in segments]
        match (request.method, *lower):
            case ("GET" | "POST" | "HEAD", "host", "ping"):
                return Response(200)
            case ("GET" | "HEAD", "host", "ready"):
                return self._ready()
            case ("GET", "host", "status"):
                return _json(200, self._status().json())
            case ("GET", "functions"):
                return _json(200, [self._described(plan.function, request.origin) for plan in self._plans.values()])
            case ("GET", "functions", name):
                plan = self._plans.get(name)
                return NOT_FOUND if plan is None else _json(200, self._described(plan.function, request.origin))
            case ("POST", "functions", name):
                return self._start(name, request)
            case ("GET", "functions", name, "status"):
                return self._errors_of(name)
            case (_, "host", "keys" | "functionkeys" | "systemkeys", *_) | (_, "functions", _, "keys", *_):
                return self._keys_answer(request, segments)
            case _:
                return NOT_FOUND

    async def aclose(self) -> None:
        """Leave what was started by hand behind."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _ready(self) -> Response:
        status = self._status()
        body = {"state": status.state.value, **({"reason": status.not_ready} if status.not_ready else {})}
        return _json(503 if status.not_ready else 200, body)

    # ---- functions

    def _described(self, function: Function, origin: str) -> dict[str, Any]:
        is_http = function.trigger.kind == HTTP_TRIGGER
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": None,
            "config_href": None,
            "test_data_href": None,
            "href": f"{origin}{ADMIN_PATH}/functions/{function.name}",
            "invoke_url_template": f"{origin}/{full_route(function, self._prefix)}" if is_http else None,
            "language": "python",
            "config": {"name": function.name, "bindings": [_binding(each) for each in function.bindings]},
            "files": None,
            "test_data": None,
            "isDisabled": function.is_disabled,
            "isDirect": False,
            "isProxy": False,
        }

    def _errors_of(self, name: str) -> Response:
        errors = [error for error in self._errors if error.lower().startswith(f"the '{name}' function ")]
        if name not in self._plans and not errors:
            return NOT_FOUND
        return _json(200, {"errors": errors} if errors else {})

    def _start(self, name: str, request: Request) -> Response:
        plan = self._plans.get(name)
        if plan is None:
            return NOT_FOUND
        try:
            value = json.loads(request.body)["input"]
        except (ValueError, KeyError, TypeError):
            return _json(400, {"Message": 'The body must be JSON as {"input": "text"}.'})
        run = self._by_hand.get(plan.function.trigger.kind)
        if run is None:
            kind = plan.function.trigger.type
            return _json(
                400, {"Message": f"Functions of type {kind} cannot be run by hand. Start them as the app does."}
            )
        if len(self._running) >= _MAX_BY_HAND:
            return Response(429)
        text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        task = asyncio.create_task(_told(run(plan, text), plan.function.name), name=f"run {plan.function.name} by hand")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Response(202)

    async def _run_http(self, plan: CallPlan, text: str) -> None:
        url = f"http://localhost/{full_route(plan.function, self._prefix)}"
        headers = {"content-type": "application/json"}
        await self._functions.call(plan, HttpRequest("POST", url, "", headers, text.encode()), {})

    # ---- keys

    def _keys_answer(self, request: Request, segments: Sequence[str]) -> Response:
        if self._keys is None:
            return _json(
                409, {"Message": "This host asks for no keys and has none. Start it with --enable-auth to have them."}
            )
        if segments[0].lower() == "functions" and segments[1].lower() not in self._plans:
            return NOT_FOUND
        collection = _Collection.of(self._keys, segments)
        rest = segments[collection.depth :]
        try:
            if not rest:
                return collection.listed(request) if request.method == "GET" else NOT_FOUND
            return collection.one(request, rest[0]) if len(rest) == 1 else NOT_FOUND
        except ConfigurationError as error:  # a folder that is read only
            return _json(409, {"Message": str(error)})


@dataclass(frozen=True, slots=True)
class _Collection:
    """One list of keys: of the host, of extensions, or of a function."""

    keys: KeyStore
    kind: str
    """``functions``, ``system``, or ``own`` of a function."""
    function: str
    depth: int
    """Segments of its path."""

    @classmethod
    def of(cls, keys: KeyStore, segments: Sequence[str]) -> _Collection:
        if segments[0].lower() == "functions":
            return cls(keys, "own", segments[1], 3)
        return cls(keys, "system" if segments[1].lower() == "systemkeys" else "functions", "", 2)

    def _all(self) -> dict[str, str]:
        if self.kind == "own":
            return dict(self.keys.of_function(self.function))
        host = self.keys.host()
        return dict(host.system if self.kind == "system" else host.functions)

    def _save(self, values: Mapping[str, str]) -> None:
        if self.kind == "own":
            self.keys.save_function(self.function, values)
        elif self.kind == "system":
            self.keys.save_host(replace(self.keys.host(), system=values))
        else:
            self.keys.save_host(replace(self.keys.host(), functions=values))

    def listed(self, request: Request) -> Response:
        """Return all keys."""
        entries = [{"name": name, "value": value} for name, value in self._all().items()]
        href = f"{request.origin}{ADMIN_PATH}{request.path.rstrip('/')}"
        return _json(200, {"keys": entries, "links": [{"rel": "self", "href": href}]})

    def one(self, request: Request, name: str) -> Response:
        """Read, set, renew or delete a key."""
        if name.lower() == MASTER and self.kind != "own":
            return self._master(request)
        if not is_key_name(name):
            return _json(400, {"Message": "A key's name has letters, digits, '-' and '_', and begins with the former."})
        values = self._all()
        match request.method:
            case "GET" if name in values:
                return _json(200, {"name": name, "value": values[name]})
            case "PUT" | "POST":
                value = new_key() if request.method == "POST" else _given_value(request)
                if value is None:
                    return _json(400, {"Message": 'The body must be JSON as {"name": "name", "value": "text"}.'})
                self._save({**values, name: value})
                return _json(200 if name in values else 201, {"name": name, "value": value})
            case "DELETE" if name in values:
                if self.kind == "system" and name == DURABLE_KEY:
                    return _json(409, {"Message": "The management API cannot be without its key. Renew it instead."})
                del values[name]
                self._save(values)
                return Response(204)
        return NOT_FOUND

    def _master(self, request: Request) -> Response:
        host: HostKeys = self.keys.host()
        if request.method == "GET":
            return _json(200, {"name": MASTER, "value": host.master})
        if request.method in ("PUT", "POST"):
            value = new_key() if request.method == "POST" else _given_value(request)
            if value is None:
                return _json(400, {"Message": 'The body must be JSON as {"name": "name", "value": "text"}.'})
            self.keys.save_host(replace(host, master=value))
            return _json(200, {"name": MASTER, "value": value})
        return NOT_FOUND


async def _told(run: Awaitable[object], name: str) -> None:
    try:
        await run
    except (TaskHubError, TemplateError) as error:
        logger.error("Functions.%s, run by hand, was not started: %s", name, error)
    except Exception:  # nobody waits for it, so this is the only place to say it
        logger.exception("Functions.%s, run by hand, was not started", name)


def _given_value(request: Request) -> str | None:
    try:
        value = json.loads(request.body)["value"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) and value else None


def _binding(binding: Binding) -> dict[str, Any]:
    properties = {_SPELLING.get(name, name): value for name, value in binding.properties.items()}
    return {"name": binding.name, "type": binding.type, "direction": binding.direction.value, **properties}


def _json(status: int, body: object) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":"), default=str))
