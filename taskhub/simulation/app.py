"""An app in a simulated world: its own functions, with some of them replaced, and a record of what was called."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from taskhub.host.application import FunctionsApplication
from taskhub.host.functions import ACTIVITY_TRIGGER, ENTITY_TRIGGER, ORCHESTRATION_TRIGGER
from taskhub.host.http_activity import HttpActivity
from taskhub.host.http_calls import REQUEST, HttpCallFailed, answer, read_call
from taskhub.host.live_orchestrations import LiveOrchestrations
from taskhub.runtime.application import ActivityFailed, ActivitySucceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.functions import Binding
    from taskhub.host.http_calls import HttpCall
    from taskhub.host.invoker import Invoker
    from taskhub.model.ids import InstanceId
    from taskhub.runtime.application import (
        ActivityCall,
        EntityAnswered,
        EntityCall,
        EntityFailed,
        Orchestration,
    )
    from taskhub.settings import TaskHubSettings

    Responder = Callable[[HttpCall], tuple[int, list[tuple[str, str]], bytes]]

_KINDS = {ORCHESTRATION_TRIGGER: "orchestrator", ACTIVITY_TRIGGER: "activity", ENTITY_TRIGGER: "entity"}

CallKey = tuple[str, Union[str, None], int]  # noqa: UP007 (a runtime alias on 3.10)
"""Instance id, execution id and task id."""


@dataclass(eq=False)
class Call:
    """One call of an activity by an orchestration."""

    name: str
    """Of the activity."""
    input: Any
    """What it was given, decoded; as it was given last."""
    instance_id: str
    """Of the orchestration."""
    runs: int = 0
    """How often the activity was begun for this call; more than once only where a worker died or a message was
    delivered twice."""
    result: Any = None
    """What it returned, as the code of the activity sees it."""
    error: BaseException | None = None
    """What it raised, when it came last to an end."""
    at: datetime | None = None
    """When it was first begun, aware UTC."""

    def __repr__(self) -> str:
        ending = f"raised {self.error!r}" if self.error is not None else f"returned {self.result!r}"
        often = "" if self.runs == 1 else f", run {self.runs} times"
        return f"<Call of {self.name}({self.input!r}) by {self.instance_id}: {ending}{often}>"


_current: contextvars.ContextVar[ActivityCall] = contextvars.ContextVar("current")
"""The call that is being run."""


class SimulatedApp:
    """Implements :class:`taskhub.runtime.application.Application` over the functions of an app.

    Args:
        plans: its functions.
        invoker: runs them.
        settings: of the task hub.
        client_payload: makes the text that a durable client binding receives, from that binding's properties.
        now: the world's time.
        tell: is told of what is run, for a story.
    """

    def __init__(
        self,
        plans: Sequence[CallPlan],
        invoker: Invoker,
        settings: TaskHubSettings,
        *,
        client_payload: Callable[[Mapping[str, Any]], str],
        now: Callable[[], datetime],
        tell: Callable[[str], None],
    ) -> None:
        self._plans = {
            (plan.function.trigger.kind, plan.function.called_as.lower()): plan
            for plan in plans
            if plan.function.trigger.kind in _KINDS
        }
        self._fakes: dict[tuple[str, str], CallPlan] = {}
        self._invoker = invoker
        self._settings = settings
        self._client_payload = client_payload
        self._now = now
        self._tell = tell
        self._http = SimulatedHttp()
        self._calls: dict[CallKey, Call] = {}
        self._running: list[CallKey] = []
        self._assemble()

    def __repr__(self) -> str:
        return f"<SimulatedApp, {len(self._plans)} functions, {len(self._fakes)} of them replaced>"

    # ---- what tests do with it

    def names(self, kind: str) -> list[str]:
        """Return the names of the functions of a trigger, as they are called."""
        return [plan.function.called_as for (each, _), plan in self._plans.items() if each == kind]

    def kind_of(self, name: str) -> str | None:
        """Return the trigger of the activity or else the orchestrator of a name, ``None`` when there is neither."""
        kinds = (ACTIVITY_TRIGGER, ORCHESTRATION_TRIGGER)
        return next((kind for kind in kinds if (kind, name.lower()) in self._plans), None)

    def plan_of(self, kind: str, name: str) -> CallPlan | None:
        """Return a function by the name by which it is called; what stands in its place counts."""
        key = kind, name.lower()
        return self._fakes.get(key) or self._plans.get(key)

    def replace(self, kind: str, name: str, function: Callable[[Any], Any]) -> None:
        """Put a function of the input in the place of an activity or orchestrator.

        Args:
            kind: its trigger.
            name: by which it is called.
            function: of the decoded input; may be a coroutine function in the place of an activity.
        """
        key = kind, name.lower()
        plan = self._plans[key]
        call = _of_context(function) if kind == ORCHESTRATION_TRIGGER else _of_input(function, plan.function.trigger)
        self._fakes[key] = _calling(plan, call)
        self._assemble()

    def answer_http(self, respond: Responder) -> None:
        """Have a function answer the requests of ``call_http``."""
        self._http.respond = respond

    def calls(self, name: str) -> list[Call]:
        """Return the calls of an activity that were begun, in order of their first beginnings."""
        return [call for call in self._calls.values() if call.name.lower() == name.lower()]

    def current_call(self) -> CallKey:
        """Return which call it is for which an activity runs now."""
        return _key(_current.get())

    def is_running(self, instance_id: InstanceId, task_id: int) -> bool:
        """Return whether an activity is being run for a call."""
        return any((each[0], each[2]) == (instance_id, task_id) for each in self._running)

    # ---- what the runtime asks for

    def orchestration(
        self, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> Orchestration:
        """Return a fresh execution of an orchestrator."""
        return self._inner.orchestration(name, instance_id=instance_id, parent_instance_id=parent_instance_id)

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        """Run an activity, or what stands in its place."""
        token = _current.set(call)
        key = _key(call)
        self._running.append(key)
        self._tell(f"activity '{call.name}' begins for '{call.instance_id}'")
        try:
            return await self._inner.run_activity(call)
        finally:
            self._running.remove(key)
            _current.reset(token)

    def check_entity(self, name: str) -> None:
        """See that there is an entity of a name."""
        self._inner.check_entity(name)

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        """Run a batch of operations."""
        self._tell(f"entity '@{call.name}@{call.key}' runs {call.operations} operations")
        return await self._inner.run_entity_batch(call)

    # ---- how the functions are called

    def _assemble(self) -> None:
        plans = {**self._plans, **self._fakes}
        self._inner = FunctionsApplication(
            [self._recorded(plan) if kind == ACTIVITY_TRIGGER else plan for (kind, _), plan in plans.items()],
            self._invoker,
            LiveOrchestrations(self._invoker, self._settings),
            client_payload=self._client_payload,
            http=self._http,
        )

    def _recorded(self, plan: CallPlan) -> CallPlan:
        """Return a plan that takes note of its calls."""
        inner, trigger = plan.function.call, plan.function.trigger.name

        async def await_it(**values: Any) -> Any:
            with self._noted(values[trigger]) as record:
                record.result = await inner(**values)
                return record.result

        def call_it(**values: Any) -> Any:
            with self._noted(values[trigger]) as record:
                record.result = inner(**values)
                return record.result

        return _calling(plan, await_it if plan.is_async else call_it)

    @contextlib.contextmanager
    def _noted(self, value: Any) -> Iterator[Call]:
        current = _current.get()
        record = self._calls.setdefault(
            self.current_call(), Call(current.name, value, current.instance_id, at=self._now())
        )
        record.input = value
        record.runs += 1
        record.error = None
        try:
            yield record
        except Exception as error:
            record.error = error
            self._tell(f"activity '{current.name}' raises {type(error).__name__}: {error}")
            raise
        self._tell(f"activity '{current.name}' returns {record.result!r}")


def _key(call: ActivityCall) -> CallKey:
    return call.instance_id, call.execution_id, call.task_id


def _calling(plan: CallPlan, call: Callable[..., Any]) -> CallPlan:
    return dataclasses.replace(
        plan,
        function=dataclasses.replace(plan.function, call=call),
        is_async=inspect.iscoroutinefunction(call),
    )


def _of_context(function: Callable[[Any], Any]) -> Callable[..., Any]:
    def orchestrator(context: Any) -> Any:
        return function(context.get_input())

    return orchestrator


def _of_input(function: Callable[[Any], Any], trigger: Binding) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        async def begin(**values: Any) -> Any:
            return await function(values[trigger.name])

        return begin

    def run(**values: Any) -> Any:
        return function(values[trigger.name])

    return run


class SimulatedHttp(HttpActivity):
    """Answers the requests of ``call_http`` with a function of the test, as there is no network."""

    def __init__(self) -> None:
        super().__init__()
        self.respond: Responder | None = None

    async def run(self, payload: str | None) -> ActivitySucceeded | ActivityFailed:
        """Answer the request in the input of an activity."""
        try:
            call = read_call(payload)
            if self.respond is None:
                raise HttpCallFailed(
                    f"there is no network in a simulated world: say what answers {call.described()} with fake_http()",
                    REQUEST,
                )
            status, headers, body = self.respond(call)
            return ActivitySucceeded(answer(call, status, headers, body, None))
        except HttpCallFailed as error:
            return ActivityFailed(error.reason, error.details())
