"""A simulated world for tests of apps: storage, workers and time of one test, driven from plain synchronous code."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.durable_functions._serialization import df_dumps
from azure.durable_functions.testing.errors import DurableWorldError, HistoryMismatch
from azure.durable_functions.testing.exploring import Exploration, Explorer
from azure.durable_functions.testing.fakes import Fake, HttpReply, http_responder
from azure.durable_functions.testing.instances import EntityInstance, Instance
from azure.durable_functions.testing.recordings import read_recordings
from azure.durable_functions.testing.replaying import Replay, Replayed

from taskhub.errors import ConfigurationError, InstanceExists, PayloadError
from taskhub.host.client_binding import client_payload
from taskhub.host.functions import ACTIVITY_TRIGGER, ENTITY_TRIGGER, ORCHESTRATION_TRIGGER
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter
from taskhub.simulation.fates import Fates
from taskhub.simulation.folder import AppFolder, OpenApp, open_app
from taskhub.simulation.hub import Risks, SimulatedHub

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from azure.functions import FunctionRegister

    from taskhub.simulation.app import Call

_NOTHING: Any = object()
_MANAGEMENT_API = "http://localhost:7071/runtime/webhooks/durabletask"
"""What durable clients are told; nobody is there."""
_NOUNS = {ACTIVITY_TRIGGER: "activity", ORCHESTRATION_TRIGGER: "orchestrator", ENTITY_TRIGGER: "entity"}


class DurableWorld:
    """A world of its own: nothing is left of it after the test, and nothing of it touches a real store or clock.

    With pytest it is the fixture ``durable_world``. Elsewhere it is a context manager::

        with DurableWorld() as world:
            world.load("my_app")
            instance = world.start("approval", {"amount": 5})
            world.skip(hours=72)
            assert instance.completed == "escalated"

    Every call returns when all that follows from it has happened and what is left waits for a later time or for the
    outside. Time stands still but in :meth:`skip` (and for the moments in which a world at risk recovers).
    Orchestrators replay their whole history at every step, so that one that is not deterministic fails.

    Activities that are not faked run, in the test's process and thread. In a coroutine function ``asyncio.sleep`` takes
    virtual time; there is no network on the world's event loop.

    Args:
        seed: of ids, and of what befalls the world where something may.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._risks = Risks()
        self._fates = Fates()
        self._steps = 1
        self._setup: list[Callable[[], object]] = []
        self._has_lived = False
        self._is_exploring = False
        self._is_again = False
        self._hub: SimulatedHub | None = None
        self._folder: AppFolder | None = None
        self._base = Path.cwd()

    def __repr__(self) -> str:
        return f"<DurableWorld of seed {self._seed}, {'empty' if self._hub is None else self._hub}>"

    def __enter__(self) -> DurableWorld:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    # ---- the app

    def load(self, folder: str | os.PathLike[str] = ".") -> DurableWorld:
        """Load an app out of its folder, as the host does: ``function_app.py``, or folders with a ``function.json``.

        ``host.json`` and ``local.settings.json`` count. The folder becomes the current one until the end of the test.

        Args:
            folder: relative to the current directory at the beginning of the test.

        Returns:
            This world.

        Raises:
            DurableWorldError: there is no such app, or it cannot be loaded; says why.
        """
        self._note(lambda: self.load(folder))
        root = (self._base / folder).resolve()
        self._check_empty()
        entered = AppFolder(root)
        try:
            opened = entered.enter()
        except ConfigurationError as error:
            raise DurableWorldError(str(error)) from None
        self._folder = entered
        return self._open(opened)

    def app(self, app: FunctionRegister) -> DurableWorld:
        """Take an app object: a ``df.DFApp``, or another one of ``azure.functions``.

        Args:
            app: the object. A blueprint is put in one first: ``app = df.DFApp(); app.register_functions(blueprint)``.

        Returns:
            This world.

        Raises:
            DurableWorldError: it has no functions, or they cannot be called; says why.
        """
        self._note(lambda: self.app(app))
        self._check_empty()
        try:
            opened = open_app(app)
        except ConfigurationError as error:
            raise DurableWorldError(str(error)) from None
        return self._open(opened)

    def _check_empty(self) -> None:
        if self._hub is not None:
            raise DurableWorldError("this world has its app already; there is one for each test")

    def _open(self, opened: OpenApp) -> DurableWorld:
        configuration = opened.configuration
        self._hub = SimulatedHub(
            opened.loaded.plans,
            configuration.durable.hub,
            client_payload=client_payload(configuration, _MANAGEMENT_API, rpc_port=None),
            seed=self._seed,
            risks=self._risks,
            fates=self._fates,
            steps=self._steps,
        )
        self._errors = opened.loaded.errors
        return self

    @property
    def _world(self) -> SimulatedHub:
        if self._hub is None:
            raise DurableWorldError(
                'this world has no app yet: durable_world.load("the folder of the app"), or durable_world.app(app)'
            )
        return self._hub

    @property
    def _alive(self) -> SimulatedHub:
        """The hub, for what is more than a preparation."""
        self._has_lived = True
        return self._world

    # ---- runs under many seeds

    def explore(
        self,
        scenario: Callable[[], object],
        *,
        seeds: int = 50,
        first_seed: int = 1,
        kills: bool = True,
        duplicates: bool = True,
        delays: bool = False,
        reordering: bool = True,
    ) -> None:
        """Run something in this world under many seeds: first in a calm one, then in worlds where things befall it.

        What was loaded and faked before holds in all of them. With pytest, ``@pytest.mark.durable(seeds=50)`` does this
        with a test. The first seed that fails is made small: what befell the run is taken away as long as it still
        fails. The report is printed.

        Args:
            scenario: what to run; it uses this world, and raises when something is wrong.
            seeds: how many.
            first_seed: the first of them.
            kills: a worker dies, at any of its steps.
            duplicates: what is sent comes twice, and answers of the store are lost.
            delays: workers stand still beyond their leases, messages are late.
            reordering: what is ready at one time runs in any order; workers, partitions, and whether code is kept in
                memory or replayed, are as drawn.

        Raises:
            Exception: what the scenario raised, in the smallest run that was found.
        """
        exploration = Exploration(seeds, first_seed, kills, duplicates, delays, reordering)
        explorer = self._explorer(scenario, exploration)
        explorer.run(how_to_repeat=lambda seed: f"explore(…, seeds=1, first_seed={seed})", tell=print)

    def _explorer(
        self,
        scenario: Callable[[], object],
        exploration: Exploration,
        failures: tuple[type[BaseException], ...] = (Exception,),
    ) -> Explorer:
        return Explorer(_Runs(self), scenario, exploration, failures)

    def _note(self, step: Callable[[], object]) -> None:
        """Remember a preparation, to be made again in other runs."""
        if not self._is_again:
            self._setup.append(step)

    def _begin_again(self, seed: int, risks: Risks, fates: Fates, steps: int) -> None:
        """Start anew, with what was prepared before the first run."""
        if not self._is_exploring and self._has_lived:
            raise DurableWorldError(
                "something was started, skipped or signalled before the runs under many seeds began: do it in the test"
            )
        self._is_exploring = True
        self.close()
        self._seed, self._risks, self._fates, self._steps = seed, risks, fates, steps
        self._is_again = True
        for step in self._setup:
            step()

    @property
    def _exposed_steps(self) -> int:
        return 1 if self._hub is None else self._hub.exposed_steps

    # ---- activities

    def fake(
        self,
        function: str | Any,
        by: Callable[[Any], Any] | None = None,
        *,
        returns: Any = _NOTHING,
        raises: BaseException | type[BaseException] | None = None,
        in_turn: Sequence[Any] | None = None,
    ) -> None:
        """Put something in the place of an activity, or of an orchestrator that is called as a sub-orchestration.

        Exactly one of the ways is given. What a fake returns and raises takes the way of a real one: through JSON, and
        as ``TaskFailedError`` with the usual text.

        Args:
            function: its name, or the function itself.
            by: a function of the input; may be a coroutine function in the place of an activity.
            returns: always this.
            raises: always this exception.
            in_turn: for the first call the first of these, and so on; exceptions are raised. A call that is made again
                because a worker died gets its own again. For activities only.

        Raises:
            DurableWorldError: the app has no such function; the message names those that it has.
        """
        app = self._world.app
        name = _name_of(function)
        kind = app.kind_of(name)
        if kind is None:
            raise DurableWorldError(self._unknown(name, ACTIVITY_TRIGGER, ORCHESTRATION_TRIGGER))
        given = [by is not None, returns is not _NOTHING, raises is not None, in_turn is not None]
        if sum(given) != 1:
            raise DurableWorldError(f"say what '{name}' does instead: a function, or returns=, or raises=, or in_turn=")
        if in_turn is not None and kind == ORCHESTRATION_TRIGGER:
            raise DurableWorldError(
                f"'{name}' is an orchestrator, whose fakes cannot be taken in turn: give a function"
            )
        fake = Fake(
            name,
            by=by,
            returns=None if returns is _NOTHING else returns,
            raises=raises,
            in_turn=in_turn,
            current_call=app.current_call,
        )
        app.replace(kind, name, fake.as_function())
        self._note(lambda: self.fake(function, by, returns=returns, raises=raises, in_turn=in_turn))

    def fake_http(
        self, by: Callable[[Any], HttpReply] | None = None, *, status: int = 200, content: Any = "", headers: Any = None
    ) -> None:
        """Say what answers the requests of ``context.call_http``; there is no network here.

        Args:
            by: a function of the request (``method``, ``url``, ``headers``, ``body``) that returns a status, or a
                status and content, or a status, content and headers. What is no text or bytes becomes JSON.
            status: without a function, the answer to every request.
            content: its body.
            headers: its headers.
        """
        self._world.app.answer_http(http_responder(by, status, content, headers))
        self._note(lambda: self.fake_http(by, status=status, content=content, headers=headers))

    def calls(self, activity: str | Any) -> list[Call]:
        """Return the calls of an activity in order, each with its ``input``, ``result`` or ``error`` and ``runs``.

        A call is what an orchestration asked for, once, also if it had to be run twice because a worker died: then its
        ``runs`` is 2.

        Args:
            activity: its name, or the function itself.

        Raises:
            DurableWorldError: the app has no such activity.
        """
        app = self._world.app
        name = _name_of(activity)
        if app.plan_of(ACTIVITY_TRIGGER, name) is None:
            raise DurableWorldError(self._unknown(name, ACTIVITY_TRIGGER))
        return app.calls(name)

    # ---- instances and entities

    def start(
        self,
        orchestrator: str | Any,
        input: Any = None,
        *,
        instance_id: str | None = None,
        after: timedelta | None = None,
    ) -> Instance:
        """Start an orchestration, and let everything happen that follows from it at once.

        Args:
            orchestrator: its name, or the function itself.
            input: what it gets.
            instance_id: a new one by default.
            after: begin only when this time has passed.

        Returns:
            The instance.

        Raises:
            DurableWorldError: the app has no such orchestrator, or the id is that of a running instance.
        """
        hub = self._alive
        name = _name_of(orchestrator)
        if hub.app.plan_of(ORCHESTRATION_TRIGGER, name) is None:
            raise DurableWorldError(self._unknown(name, ORCHESTRATION_TRIGGER))
        hub.tell(f"orchestrator '{name}' is started with {input!r}")
        starting = hub.client.start(
            name,
            instance_id=None if instance_id is None else InstanceId(instance_id),
            input=None if input is None else json.dumps(df_dumps(input)),
            scheduled_start=None if after is None else Utc.of(hub.now() + after),
        )
        try:
            return Instance(hub, hub.play(starting))
        except (InstanceExists, PayloadError) as error:
            raise DurableWorldError(str(error)) from None

    def instance(self, instance_id: str) -> Instance:
        """Return an instance by its id.

        Args:
            instance_id: its id.

        Raises:
            DurableWorldError: there is none; the message names those that there are.
        """
        found = [each for each in self.instances() if each.id == instance_id]
        if not found:
            known = ", ".join(f"'{each.id}'" for each in self.instances()) or "none"
            raise DurableWorldError(f"there is no instance '{instance_id}'; there are: {known}")
        return found[0]

    def instances(self) -> list[Instance]:
        """Return all instances, sub-orchestrations too, in order of their ids."""
        hub = self._world
        found: list[Instance] = []
        token: str | None = None
        while True:
            wanted = InstanceFilter(excludes_entities=True)
            page = hub.look(hub.client.query(wanted, token=token, with_input=False))
            found += [Instance(hub, state.instance_id) for state in page.instances]
            token = page.token
            if token is None:
                return found

    def raise_event(self, instance: Instance | str, name: str, data: Any = None, *, as_posted: bool = False) -> None:
        """Raise an event to an instance; see :meth:`Instance.raise_event`.

        Args:
            instance: it, or its id.
            name: of the event.
            data: what it carries.
            as_posted: whether the orchestrator gets the value itself.

        Raises:
            DurableWorldError: there is no such instance, or it has ended.
        """
        found = instance if isinstance(instance, Instance) else self.instance(instance)
        found.raise_event(name, data, as_posted=as_posted)

    def entity(self, name: str, key: str) -> EntityInstance:
        """Return an entity, which need not exist yet.

        Args:
            name: of the entity function.
            key: of the entity.

        Raises:
            DurableWorldError: the app has no entity of this name.
        """
        hub = self._alive
        if hub.app.plan_of(ENTITY_TRIGGER, name) is None:
            raise DurableWorldError(self._unknown(name, ENTITY_TRIGGER))
        return EntityInstance(hub, name, key)

    def signal(self, name: str, key: str, operation: str, value: Any = None) -> None:
        """Ask an entity for an operation; see :meth:`EntityInstance.signal`.

        Args:
            name: of the entity function.
            key: of the entity.
            operation: its name.
            value: its input.
        """
        self.entity(name, key).signal(operation, value)

    # ---- recorded histories

    def replay(
        self,
        recording: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any],
        *,
        name: str | None = None,
    ) -> list[Replayed]:
        """Replay recorded histories against the app's code, as a worker does that takes an instance over.

        Nothing is run but orchestrators. What they ask for must be what the history says they asked for: the same
        activities, sub-orchestrations, timers and requests, in the same order (inputs and times may differ). Whether
        they end, they must end alike; what they return may differ.

        Args:
            recording: a file, relative to the current directory at the beginning of the test, or its content: a status
                of the management API (``showHistory=true&showHistoryOutput=true``), the events alone
                (``taskhub instances history ID --json``, or :attr:`Instance.history`), or a dump of a whole hub
                (``taskhub hub dump``). A dump knows all of a history; the others leave out what is then found by
                running the code.
            name: of the orchestrator, where the recording does not tell it or it has another name now.

        Returns:
            For each history how the code does on it.

        Raises:
            HistoryMismatch: the code does not agree with a history: which event, where, and why; with a dump, of
                every instance with which it does not.
            DurableWorldError: the recording cannot be read, or the app has no such orchestrator.
        """
        if isinstance(recording, (str, Path)):
            recording = self._base / recording
        replayed, mismatches = [], []
        for each in read_recordings(recording, name):
            plan = self._world.app.plan_of(ORCHESTRATION_TRIGGER, each.name)
            if plan is None:
                raise DurableWorldError(f"{each.source}: " + self._unknown(each.name, ORCHESTRATION_TRIGGER))
            try:
                replayed.append(Replay(each, plan.function.call).run())
            except HistoryMismatch as mismatch:
                mismatches.append(mismatch)
        if len(mismatches) > 1:
            raise HistoryMismatch("\n\n".join(map(str, mismatches)))
        if mismatches:
            raise mismatches[0]
        return replayed

    # ---- time and trouble

    @property
    def now(self) -> datetime:
        """The world's time, aware UTC. It begins with the year 2026."""
        return self._world.now()

    def skip(
        self,
        span: timedelta | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
    ) -> None:
        """Let time pass. Timers on the way fire; what is due within a second of the end counts as due.

        Args:
            span: how much.
            days: to be added to it.
            hours: the same.
            minutes: the same.
            seconds: the same.

        Raises:
            DurableWorldError: the span is negative.
        """
        whole = (span or timedelta()) + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if whole < timedelta():
            raise DurableWorldError(f"time does not run backwards: {whole}")
        hub = self._alive
        hub.play(hub.skip(whole.total_seconds()))

    def skip_to(self, moment: datetime) -> None:
        """Let time pass until a moment.

        Args:
            moment: one without zone is UTC.

        Raises:
            DurableWorldError: it is past.
        """
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
        self.skip(aware - self.now)

    def kill(self) -> None:
        """Kill the worker: all that it had in memory is gone, another one takes its place and goes on."""
        hub = self._world
        hub.play(hub.kill_all())

    @property
    def story(self) -> str:
        """What has happened so far, line by line, each with its virtual time."""
        return "" if self._hub is None else "\n".join(f"{_span(at)}  {text}" for at, text in self._hub.story)

    def close(self) -> None:
        """End the world; the app's folder is left, and the environment is as before."""
        hub, self._hub = self._hub, None
        folder, self._folder = self._folder, None
        if hub is not None:
            hub.close()
        if folder is not None:
            folder.leave()

    # ---- texts

    def _unknown(self, name: str, *kinds: str) -> str:
        app = self._world.app
        parts = [f"the app has no {' and no '.join(_NOUNS[kind] for kind in kinds)} '{name}'."]
        for kind in kinds:
            known = ", ".join(f"'{each}'" for each in sorted(app.names(kind))) or "none"
            noun = {"activity": "Activities", "orchestrator": "Orchestrators", "entity": "Entities"}[_NOUNS[kind]]
            parts.append(f"{noun}: {known}.")
        return " ".join([*parts, *self._errors])


class _Runs:
    """A world as what runs tests under many seeds sees it."""

    def __init__(self, world: DurableWorld) -> None:
        self._world = world

    @property
    def story(self) -> str:
        return self._world.story

    @property
    def exposed_steps(self) -> int:
        return self._world._exposed_steps

    def begin_again(self, seed: int, risks: Risks, fates: Fates, steps: int) -> None:
        self._world._begin_again(seed, risks, fates, steps)


def _name_of(function: Any) -> str:
    if isinstance(function, str):
        return function
    build = getattr(function, "build", None)
    inner = getattr(function, "_function", None)
    if build is not None and inner is not None:  # what a decorator made of it
        return str(inner.get_function_name())
    return str(getattr(function, "__name__", function))


def _span(seconds: float) -> str:
    days, rest = divmod(seconds, 24 * 3600)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{f'{days:.0f} d ' if days else ''}{hours:02.0f}:{minutes:02.0f}:{rest:06.3f}"
