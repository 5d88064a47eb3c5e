"""Runs a recorded scenario of the extension through our whole stack, and notes every answer of the management API.

A scenario is Python functions and a ``drive(lab)`` that makes requests (``golden/extension/*/scenario.py``). Here the
functions become an app, which a worker runs on a memory store; both HTTP doors are real servers on free ports, and
``lab`` offers what the recording's did.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import azure.durable_functions as df

from taskhub.codec.messages import decode_envelope
from taskhub.host import routes
from taskhub.host.application import FunctionsApplication
from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.configuration import _with_overrides
from taskhub.host.console import Console
from taskhub.host.durable_options import read_durable_options
from taskhub.host.functions import Function
from taskhub.host.http_functions import HttpFunctions
from taskhub.host.invoker import Invoker
from taskhub.host.json_orchestrations import JsonOrchestrations
from taskhub.host.lifecycle import Topic
from taskhub.host.management import Hubs, Management
from taskhub.host.server import Listener, MainDoor, RpcDoor, bind_main_port
from taskhub.model.ids import InstanceId, PartitionIndex, WorkerId
from taskhub.model.messages import Envelope
from taskhub.names import HubNames
from taskhub.runtime.environment import Environment
from taskhub.runtime.worker import Worker
from taskhub.settings import CLASSIC
from taskhub.storage.interception import Call, intercepted
from taskhub.storage.memory import open_memory
from tests.support.modules import load_module
from tests.support.recorded_http import EXTENSION, RPC, WEBHOOK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from types import ModuleType

    from taskhub.core.tracing import Span
    from taskhub.host.application import Orchestrations
    from taskhub.settings import TaskHubSettings
    from taskhub.storage.port import Storage

WAIT_SECONDS = 30
_LOOK_SECONDS, _LOOKS = 0.05, 3
"""At queues, and how many in a row must find them empty."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request to either door, with what came back; origins are those of the recording."""

    method: str
    url: str
    status: int
    headers: dict[str, str]
    body: str

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


@dataclass(slots=True)
class Notes:
    """What passed inside while a scenario ran."""

    messages: list[Envelope] = field(default_factory=list)
    """What was put on control queues, in order."""
    work_items: list[Envelope] = field(default_factory=list)
    triggers: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind and name of the function and what it was given, in order; of orchestrators only where JSON drives them."""
    puts: list[tuple[str, int, str]] = field(default_factory=list)
    """What was put on any queue: queue, seconds it is hidden, text."""
    spans: list[Span] = field(default_factory=list)
    """What was told of, where the scenario traces."""

    @property
    def batches(self) -> list[tuple[str, str]]:
        """Name of the entity function and what it was given, in order."""
        return [(name, text) for kind, name, text in self.triggers if kind == "entity"]

    async def watch(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        """Note the messages among the calls to the store."""
        if (call.service, call.method) == ("queue", "put"):
            self.puts.append((call.target, call.options.get("visible_after", 0), call.arguments[0]))
            envelope = decode_envelope(call.arguments[0])
            if isinstance(envelope, Envelope):
                (self.messages if "-control-" in call.target else self.work_items).append(envelope)
        return await act()


class Lab:
    """What ``drive`` gets."""

    def __init__(
        self,
        main_port: int,
        rpc_port: int,
        worker: Worker,
        http: aiohttp.ClientSession,
        notes: Notes,
        storage: Storage,
        queues: Sequence[str],
    ) -> None:
        self._origins = {
            f"http://localhost:{main_port}": "http://localhost:17072",
            f"http://127.0.0.1:{rpc_port}": "http://127.0.0.1:17071",
            f"//example.org:{main_port}/": "//example.org:17072/",  # a host that some requests claim to come by
        }
        self._bases = {
            None: f"http://localhost:{main_port}/runtime/webhooks/durabletask/",
            "rpc": f"http://127.0.0.1:{rpc_port}/durabletask/",
        }
        self._hub = worker.client
        self._http = http
        self._queues = queues
        self.answers: list[Answer] = []
        self.notes = notes
        self.storage = storage
        self.client: Any = None

    def watch(self, management: Management) -> Any:
        """Return a handler for the doors that notes what passes."""

        async def handle(request: routes.Request) -> routes.Response:
            response = await management.handle(request)
            headers = {name: self._recorded(value) for name, value in response.headers.items()}
            self.answers.append(
                Answer(
                    request.method,
                    self._recorded(request.url),
                    response.status,
                    headers,
                    self._recorded(response.body or ""),
                )
            )
            return response

        return handle

    def _recorded(self, text: str) -> str:
        for ours, theirs in self._origins.items():
            text = text.replace(ours, theirs)
        return text

    @property
    def webhook(self) -> str:
        """Base URL of the webhook."""
        return self._bases[None].rstrip("/")

    def note(self, text: str) -> None:
        """Take a remark; the recording keeps them apart from the answers."""

    async def http(
        self,
        method: str,
        path: str,
        body: str | None = None,
        kind: str | None = None,
        *,
        base: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], str]:
        """Make a request to the webhook, or to the loopback door."""
        from yarl import URL

        sent = {**({"Content-Type": kind} if kind else {}), **(headers or {})}
        async with self._http.request(
            method,
            URL(self._bases[base] + path, encoded=True),
            data=body.encode() if body else None,
            headers=sent,
            skip_auto_headers=["Content-Type"],
        ) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.text()

    async def start(self, name: str, instance_id: str, body: str | None = None) -> None:
        """Start an instance over the webhook."""
        kind = None if body is None else "application/json"
        await self.http("POST", f"orchestrators/{name}/{instance_id}", body, kind)

    async def status(self, instance_id: str, query: str = "") -> dict[str, Any]:
        """Return the status of an instance without it being noted."""
        state = await self._hub.get(InstanceId(instance_id))
        assert state is not None, instance_id
        return routes.status_json(state, show_input=True)

    async def wait(
        self, instance_id: str, statuses: set[str] | None = None, custom: Any = None, *, timeout: float = WAIT_SECONDS
    ) -> None:
        """Wait until an instance has one of the statuses (by default: has ended), and the custom status."""
        wanted = statuses or {"Completed", "Failed", "Terminated", "Canceled"}
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        while True:
            state = await self._hub.get(InstanceId(instance_id))
            name = state.status.name if state and state.status else None
            seen = json.loads(state.custom_status) if state and state.custom_status else None
            if name in wanted and (custom is None or seen == custom):
                return
            assert loop.time() < ends, f"{instance_id} is {name}, custom status {seen}, not {wanted} {custom}"
            await asyncio.sleep(0.02)

    async def settle(self, seconds: float = 0) -> None:
        """Let what is under way come to rest, for as long as the scenario waits at most.

        It is over when no queue holds a message, hidden ones included: workers delete them last.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        looks = 0
        while looks < _LOOKS and loop.time() < ends:
            await asyncio.sleep(min(_LOOK_SECONDS, max(ends - loop.time(), 0)))
            looks = looks + 1 if await self._is_at_rest() else 0

    async def _is_at_rest(self) -> bool:
        return not any([await self.storage.queues.count(queue) for queue in self._queues])


@asynccontextmanager
async def running_lab(
    scenario: str,
    store: Storage | None = None,
    *,
    change: Callable[[ModuleType], None] | None = None,
    by_json: bool = False,
    topic: str | None = None,
) -> AsyncIterator[tuple[ModuleType, Lab]]:
    """Start everything for a scenario; yields its module and the lab for its ``drive``.

    Args:
        scenario: its name.
        store: where the hub lies; by default in a memory of its own.
        change: what to make otherwise in its module.
        by_json: drive the orchestrators by the JSON protocol, also those that answer with states written by hand.
        topic: address of the topic that the scenario tells of instances; by default it tells nobody.
    """
    module = load_module(EXTENSION / scenario / "scenario.py", f"recorded_{scenario}")
    if change is not None:
        change(module)
    recorded = json.loads((EXTENSION / scenario / "scenario.json").read_text(encoding="utf-8"))
    overrides = {f"AzureFunctionsJobHost:durableTask:{key}": value for key, value in recorded["settings"].items()}
    section = _with_overrides({}, overrides).get("durableTask", {})
    options = read_durable_options(section, getattr(module, "APP_SETTINGS", {}), hub=recorded["hub"])
    told = None
    if topic is not None and options.topic is not None:
        told = Topic(replace(options.topic, endpoint=topic), options.hub.hub_name)
    notes = Notes()
    storage = intercepted(store or open_memory(now=lambda: datetime.now(timezone.utc)), notes.watch)
    invoker = Invoker(Console(io.StringIO()))
    orchestrations: Orchestrations
    if by_json:
        orchestrations, plans = JsonOrchestrations(invoker, options.hub, lambda _: "{}"), _json_plans(module, notes)
    else:
        from taskhub.host.live_orchestrations import LiveOrchestrations  # needs our SDK

        orchestrations, plans = LiveOrchestrations(invoker, options.hub), _live_plans(module)
    plans += _other_plans(module, notes)
    application = FunctionsApplication(plans, invoker, orchestrations, client_payload=lambda _: "{}")
    # What shortcuts leave out on queues was recorded; what they do otherwise, test_golden_storage.py shows.
    settings = replace(options.hub, **{**CLASSIC, "warm_sessions": True})
    environment = Environment(
        tell_spans=notes.spans.extend if options.traces else None,
        tell_changes=None if told is None else told.tell,
    )
    worker = Worker(storage, settings, application, worker_id=WorkerId("worker"), environment=environment)
    hubs = Hubs(options, worker.client, storage, _no_other_account)
    management = Management(hubs, application, use_forwarded_host=options.use_forwarded_host)
    main_sockets, rpc_sockets = bind_main_port(0), [socket.create_server(("127.0.0.1", 0))]
    stop = asyncio.Event()
    async with aiohttp.ClientSession() as http:
        main_port, rpc_port = (sockets[0].getsockname()[1] for sockets in (main_sockets, rpc_sockets))
        lab = Lab(main_port, rpc_port, worker, http, notes, storage, _queues_of(options.hub))
        handle = lab.watch(management)
        functions = HttpFunctions((), invoker, prefix="api", client_payload=lambda _: "{}")
        main = Listener(main_sockets, MainDoor(functions, handle, handle))
        rpc = Listener(rpc_sockets, RpcDoor(handle))
        urls = hubs.urls(routes.Target(), f"http://localhost:{main_port}")
        lab.client = df.DurableOrchestrationClient(
            urls.client_payload(f"http://127.0.0.1:{rpc_port}/durabletask/", None, None)
        )
        await main.start()
        await rpc.start()
        working = asyncio.create_task(worker.run(stop))
        try:
            yield module, lab
        finally:
            stop.set()
            await working
            await main.stop(grace_seconds=1)
            await rpc.stop(grace_seconds=1)
            await invoker.aclose(grace_seconds=1)
            await application.aclose()
            if told is not None:
                await told.aclose()
            if store is None:
                await storage.aclose()


def _queues_of(settings: TaskHubSettings) -> list[str]:
    names = HubNames.of(settings.hub_name)
    control = [names.control_queue(PartitionIndex(number)) for number in range(settings.partition_count)]
    return [*control, names.work_item_queue]


def _live_plans(module: ModuleType) -> list[Any]:
    plans = []
    for name, function in getattr(module, "ORCHESTRATORS", {}).items():
        bindings = read_bindings([{"name": "context", "type": "orchestrationTrigger"}])
        plans.append(plan_call(Function(name, df.Orchestrator.create(function), bindings, Path())))
    for name in getattr(module, "RAW", {}):
        bindings = read_bindings([{"name": "context", "type": "orchestrationTrigger"}])
        plans.append(plan_call(Function(name, df.Orchestrator.create(_written_by_hand), bindings, Path())))
    return plans


def _json_plans(module: ModuleType, notes: Notes) -> list[Any]:
    made: dict[str, Callable[[Any], str]] = {
        name: df.Orchestrator.create(each) for name, each in getattr(module, "ORCHESTRATORS", {}).items()
    }
    by_hand = {name: _handle_of_body(each) for name, each in getattr(module, "RAW", {}).items()}
    return [_noted_plan("orchestrator", name, handle, notes) for name, handle in {**made, **by_hand}.items()]


def _noted_plan(kind: str, name: str, handle: Callable[[Any], str], notes: Notes) -> Any:
    def noted(context) -> str:  # type: ignore[no-untyped-def]
        notes.triggers.append((kind, name, context.body))
        return handle(context)

    noted.__annotations__ = {"return": str}
    trigger = "orchestrationTrigger" if kind == "orchestrator" else "entityTrigger"
    bindings = read_bindings([{"name": "context", "type": trigger}])
    return plan_call(Function(name, noted, bindings, Path()), is_official=True)


def _other_plans(module: ModuleType, notes: Notes) -> list[Any]:
    plans = []
    for name, function in getattr(module, "ACTIVITIES", {}).items():
        parameter = function.__code__.co_varnames[0]
        bindings = read_bindings([{"name": parameter, "type": "activityTrigger"}])
        # No annotations that count: they would be those of our SDK.
        plans.append(plan_call(Function(name, function, bindings, Path()), is_official=True))
    for name, function in getattr(module, "ENTITIES", {}).items():
        plans.append(_noted_plan("entity", name, df.Entity.create(function), notes))
    for name, function in getattr(module, "RAW_ENTITIES", {}).items():
        plans.append(_noted_plan("entity", name, _handle_of_body(function), notes))
    return plans


def _written_by_hand(context: Any) -> Any:
    """Stand for a function that answers with a state of its own making, which only the official host asks for."""
    raise NotImplementedError("written by hand")
    yield


def _handle_of_body(function: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda context: function(context.body)


async def _no_other_account(setting: str) -> Any:
    from taskhub.errors import ConfigurationError

    raise ConfigurationError(f"Unable to resolve the Azure Storage connection named '{setting}'.")


# ---- comparing


def recorded_answers(scenario: str) -> list[Answer]:
    """Return what the extension answered, in order."""
    lines = (EXTENSION / scenario / "http.jsonl").read_text(encoding="utf-8").splitlines()
    items = [item for item in map(json.loads, lines) if "method" in item]
    return [Answer(each["method"], each["url"], each["status"], each["headers"], each["response"]) for each in items]


_MASKS = (
    (re.compile(r"[?&]code=system-key"), ""),
    # Labels of messages lose their zone when ticks are added; year 1 stands for none.
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)|20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b"), "GUID"),
    # Of a failed activity: the recording's .NET frames, its host's name, and where its functions lay.
    (re.compile(r'\\"StackTrace\\":(null|\\"(?:[^"\\]|\\[^"]|\\\\\\")*?\\")'), "STACK"),
    (re.compile(r'\\"Source\\":(null|\\"\w+\\")'), "SOURCE"),
    # Of a failed child: the recording's .NET frames, here those of the orchestrator. It ends the text.
    (re.compile(r', StackTrace:  (?:\\.|[^"\\])*'), "STACK"),
    (re.compile(r'File [\\]+"[^"]*?scenario[^"]*?[\\]+", line \d+'), "FILE"),
)


def masked(text: str) -> str:
    """Return a text without what differs between any two runs."""
    for pattern, by in _MASKS:
        text = pattern.sub(by, text)
    return text


def door_path(url: str) -> str:
    """Return the route and query of a request to either door; clients write a blank in either way."""
    return masked(url.removeprefix(WEBHOOK).removeprefix(RPC)).replace("%20", "+")
