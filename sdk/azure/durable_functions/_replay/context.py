"""What user code sees of its orchestration: time, ids, input, and the calls that make tasks.

Every answer is the same on each replay.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, overload

from azure.durable_functions._replay.actions import (
    CallActivityAction,
    CallActivityWithRetryAction,
    CallEntityAction,
    CallHttpAction,
    CallSubOrchestratorAction,
    CallSubOrchestratorWithRetryAction,
    ContinueAsNewAction,
    CreateTimerAction,
    LockEntitiesAction,
    SignalEntityAction,
    WaitForExternalEventAction,
    as_utc,
)
from azure.durable_functions._replay.corruption import check_history, read_object
from azure.durable_functions._replay.executor import Executor
from azure.durable_functions._replay.functions import resolve_activity, resolve_orchestrator
from azure.durable_functions._replay.history import Clock, EventLog, HistoryEvent, HistoryEventType
from azure.durable_functions._replay.http import DEFAULT_POLL, DurableHttpRequest
from azure.durable_functions._replay.http_tasks import PolledHttpTask
from azure.durable_functions._replay.logs import ReplaySafeLogger
from azure.durable_functions._replay.payloads import undecodable
from azure.durable_functions._replay.retry import RetryOptions
from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._replay.tasks import (
    AtomicTask,
    EntityCallTask,
    ExternalEventTask,
    LockTask,
    LongTimerTask,
    RetryAbleTask,
    SubOrchestrationTask,
    TaskBase,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
)
from azure.durable_functions._serialization import converted, df_loads
from azure.durable_functions.errors import (
    CorruptHistoryError,
    MalformedContextError,
    PayloadDecodeError,
    UnsupportedByHostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from types import UnionType
    from uuid import UUID

    from azure.durable_functions._replay.actions import EntityAddress
    from azure.durable_functions._replay.annotations import Driven, T, V
    from azure.durable_functions._replay.functions import ActivityFunction, AppFunctions, OrchestratorFunction
    from azure.durable_functions._replay.http import HttpAnswer, TokenSourceLike
    from azure.durable_functions._replay.locks import EntityLock


@dataclass(frozen=True, slots=True)
class Limits:
    """The host's limits for one timer."""

    longest: timedelta
    """A timer that is further ahead is made of legs."""
    leg: timedelta


class FunctionContext:
    """Whatever else the host told about the invocation, one attribute for each key."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # keys of the host


class DurableOrchestrationContext:
    """The orchestration that runs.

    An orchestrator is given one; the keyword names are the keys of the JSON that the host hands over.

    Args:
        history: events of the execution so far, one dictionary each, with the property names of DurableTask.
        instanceId: id of the instance.
        isReplaying: whether the first code that runs has run before.
        parentInstanceId: id of the orchestration that called this one.
        input: the input, usually JSON text.
        upperSchemaVersion: the newest form of actions that the host can read, as old hosts tell it.
        maximumShortTimerDuration: longest timer of the host, a .NET time span, ``6.00:00:00``.
        longRunningTimerIntervalDuration: length of the parts that longer ones are made of, likewise.
        upperSchemaVersionNew: the newest form of actions that the host can read.
        **kwargs: whatever else the host tells; see ``function_context``.

    Raises:
        CorruptHistoryError: the history holds no OrchestratorStarted event, or something that is no event.
        MalformedContextError: a schema version that nobody knows, or a time span that is none; the key is told.
    """

    def __init__(
        self,
        history: list[dict[Any, Any]],
        instanceId: str,
        isReplaying: bool,
        parentInstanceId: str | None,
        input: Any = None,
        upperSchemaVersion: int = 0,
        maximumShortTimerDuration: str | None = None,
        longRunningTimerIntervalDuration: str | None = None,
        upperSchemaVersionNew: int | None = None,
        **kwargs: Any,
    ) -> None:
        schema = _agreed_schema(upperSchemaVersion, upperSchemaVersionNew)
        self._events: Sequence[Mapping[str, Any]] | EventLog = history
        self._histories: list[HistoryEvent] = []
        executor = Executor(clock=_first_clock(history), schema=schema, actions=[])
        executor.is_replaying = isReplaying
        limits = _limits(maximumShortTimerDuration, longRunningTimerIntervalDuration)
        self._prepare(executor, instanceId, parentInstanceId, input, limits, kwargs)
        self._offers_locks = max(upperSchemaVersion, upperSchemaVersionNew or 0) >= _FIRST_SCHEMA_WITH_LOCKS

    def _prepare(
        self,
        executor: Executor,
        instance_id: str,
        parent_instance_id: str | None,
        input_: Any,
        limits: Limits | None,
        function_context: dict[str, Any],
    ) -> None:
        self._executor = executor
        self._instance_id = instance_id
        self._parent_instance_id = parent_instance_id
        self._input = input_
        self._input_expected_type: Any = None
        self._limits = limits
        self._http_poll = DEFAULT_POLL
        self._custom_status: Any = None
        self._id_counter = 0
        self._functions: AppFunctions | None = None
        self._refusal_of_id: Callable[[str], str | None] | None = None
        self._offers_locks = True
        self._logger: ReplaySafeLogger | None = None
        self._function_context = FunctionContext(**function_context)

    @classmethod
    def from_json(cls, json_string: str) -> DurableOrchestrationContext:
        """Read what the host hands over.

        Raises:
            json.JSONDecodeError: not JSON.
            MalformedContextError: a key is missing or its value is of another kind; the error tells which.
            CorruptHistoryError: see the class.
        """
        found = read_object(json_string, "orchestration trigger", _REQUIRED)
        for key, kinds in _KINDS.items():
            if key in found and not isinstance(found[key], kinds):
                raise MalformedContextError(
                    f"{key!r} of the orchestration trigger is {type(found[key]).__name__}: {found[key]!r:.60}", key=key
                )
        return cls(**found)

    @classmethod
    def _for_session(
        cls,
        executor: Executor,
        *,
        instance_id: str,
        parent_instance_id: str | None,
        input_: Any,
        limits: Limits | None,
        events: EventLog,
        http_poll: timedelta,
    ) -> DurableOrchestrationContext:
        """Make the context of a live execution, whose history is still growing; for the live shell.

        Args:
            executor: what runs the code.
            instance_id: id of the instance.
            parent_instance_id: id of the orchestration that called it.
            input_: the input, usually JSON text.
            limits: the host's limits for one timer.
            events: the history, which grows.
            http_poll: the pause between two requests of a call that polls.
        """
        self = cls.__new__(cls)
        self._events = events
        self._histories = []
        self._prepare(executor, instance_id, parent_instance_id, input_, limits, {})
        self._http_poll = http_poll
        return self

    # -- calls ------------------------------------------------------------------------------------------------------

    @overload
    def call_activity(
        self, name: str | ActivityFunction, input_: Any = None, *, expected_type: type[T]
    ) -> TaskBase[T]: ...

    @overload
    def call_activity(self, name: str | ActivityFunction, input_: Any, expected_type: type[T]) -> TaskBase[T]: ...

    @overload
    def call_activity(
        self, name: ActivityFunction[Coroutine[Any, Any, T]], input_: Any = None, expected_type: None = None
    ) -> TaskBase[T]: ...

    @overload
    def call_activity(
        self, name: ActivityFunction[V], input_: Any = None, expected_type: None = None
    ) -> TaskBase[V]: ...

    @overload
    def call_activity(self, name: str, input_: Any = None, expected_type: UnionType | None = None) -> TaskBase: ...

    @overload
    def call_activity(self, name: ActivityFunction, input_: Any = None, *, expected_type: UnionType) -> TaskBase: ...

    def call_activity(
        self, name: str | ActivityFunction, input_: Any = None, expected_type: type | UnionType | None = None
    ) -> TaskBase:
        r"""Run an activity.

        Args:
            name: its name, or the decorated function.
            input_: a JSON value, or an object with ``to_json``.
            expected_type: class of the result; by default what the function's annotation says.

        Returns:
            A task whose result is what the activity returned. When it raised, yielding the task raises
            ``Exception("{reason} \n {details}")``.

        Raises:
            ValueError: no name, or a function that is no activity.
            FunctionNotFoundError: the app has no such activity.
            TypeError: the input cannot be encoded.
        """
        if type(name) is not str:
            name, promised = resolve_activity(name)
            expected_type = expected_type or promised
        elif self._functions is not None:
            self._functions.require("activity", name)
        task = AtomicTask(None, CallActivityAction(name, input_))
        task._expected_type = expected_type
        return task

    @overload
    def call_activity_with_retry(
        self,
        name: str | ActivityFunction,
        retry_options: RetryOptions,
        input_: Any = None,
        *,
        expected_type: type[T],
    ) -> TaskBase[T]: ...

    @overload
    def call_activity_with_retry(
        self, name: str | ActivityFunction, retry_options: RetryOptions, input_: Any, expected_type: type[T]
    ) -> TaskBase[T]: ...

    @overload
    def call_activity_with_retry(
        self,
        name: ActivityFunction[Coroutine[Any, Any, T]],
        retry_options: RetryOptions,
        input_: Any = None,
        expected_type: None = None,
    ) -> TaskBase[T]: ...

    @overload
    def call_activity_with_retry(
        self, name: ActivityFunction[V], retry_options: RetryOptions, input_: Any = None, expected_type: None = None
    ) -> TaskBase[V]: ...

    @overload
    def call_activity_with_retry(
        self,
        name: str,
        retry_options: RetryOptions,
        input_: Any = None,
        expected_type: UnionType | None = None,
    ) -> TaskBase: ...

    @overload
    def call_activity_with_retry(
        self, name: ActivityFunction, retry_options: RetryOptions, input_: Any = None, *, expected_type: UnionType
    ) -> TaskBase: ...

    def call_activity_with_retry(
        self,
        name: str | ActivityFunction,
        retry_options: RetryOptions,
        input_: Any = None,
        expected_type: type | UnionType | None = None,
    ) -> TaskBase:
        """Run an activity, again when it fails; see :meth:`call_activity`.

        Raises:
            ValueError: also when the waits of ``retry_options`` are longer than the host's timers can be.
        """
        self._check_waits(retry_options)
        self._require("activity", name)
        name, promised = resolve_activity(name)
        first = AtomicTask(None, CallActivityWithRetryAction(name, retry_options, input_))
        first._expected_type = expected_type or promised
        return RetryAbleTask(first, retry_options, self)

    @overload
    def call_sub_orchestrator(
        self,
        name: str | OrchestratorFunction,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: type[T],
    ) -> TaskBase[T]: ...

    @overload
    def call_sub_orchestrator(
        self,
        name: str | OrchestratorFunction,
        input_: Any,
        instance_id: str | None,
        version: str | None,
        expected_type: type[T],
    ) -> TaskBase[T]: ...

    @overload
    def call_sub_orchestrator(
        self,
        name: OrchestratorFunction[Driven[T]],
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> TaskBase[T]: ...

    @overload
    def call_sub_orchestrator(
        self,
        name: OrchestratorFunction[V],
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> TaskBase[V]: ...

    @overload
    def call_sub_orchestrator(
        self,
        name: str,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: UnionType | None = None,
    ) -> TaskBase: ...

    @overload
    def call_sub_orchestrator(
        self,
        name: OrchestratorFunction,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: UnionType,
    ) -> TaskBase: ...

    def call_sub_orchestrator(
        self,
        name: str | OrchestratorFunction,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: type | UnionType | None = None,
    ) -> TaskBase:
        """Run another orchestration as a child.

        Args:
            name: its name, or the decorated function.
            input_: a JSON value, or an object with ``to_json``.
            instance_id: id of the child; by default the host makes one.
            version: version of the child; by default the app's.
            expected_type: class of the result; by default what the function's annotation says.

        Returns:
            A task whose result is what the child returned; when the child fails, so does the task.

        Raises:
            ValueError: no name, a function that is no orchestrator, or an instance id that the host cannot store.
            FunctionNotFoundError: the app has no such orchestrator.
            TypeError: the input cannot be encoded.
        """
        self._require("orchestrator", name)
        self._check_id(instance_id)
        name, promised = resolve_orchestrator(name)
        task = SubOrchestrationTask(None, CallSubOrchestratorAction(name, input_, instance_id, version))
        task._expected_type = expected_type or promised
        return task

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: str | OrchestratorFunction,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: type[T],
    ) -> TaskBase[T]: ...

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: str | OrchestratorFunction,
        retry_options: RetryOptions,
        input_: Any,
        instance_id: str | None,
        version: str | None,
        expected_type: type[T],
    ) -> TaskBase[T]: ...

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: OrchestratorFunction[Driven[T]],
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> TaskBase[T]: ...

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: OrchestratorFunction[V],
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: None = None,
    ) -> TaskBase[V]: ...

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: str,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: UnionType | None = None,
    ) -> TaskBase: ...

    @overload
    def call_sub_orchestrator_with_retry(
        self,
        name: OrchestratorFunction,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        *,
        expected_type: UnionType,
    ) -> TaskBase: ...

    def call_sub_orchestrator_with_retry(
        self,
        name: str | OrchestratorFunction,
        retry_options: RetryOptions,
        input_: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
        expected_type: type | UnionType | None = None,
    ) -> TaskBase:
        """Run another orchestration as a child, again when it fails; see :meth:`call_sub_orchestrator`.

        Raises:
            ValueError: also when the waits of ``retry_options`` are longer than the host's timers can be.
        """
        self._check_waits(retry_options)
        self._require("orchestrator", name)
        self._check_id(instance_id)
        name, promised = resolve_orchestrator(name)
        action = CallSubOrchestratorWithRetryAction(name, retry_options, input_, instance_id, version)
        first = SubOrchestrationTask(None, action)
        first._expected_type = expected_type or promised
        return RetryAbleTask(first, retry_options, self)

    def _require(self, kind: str, name: Any) -> None:
        """Refuse a name that no function of the app has, if its functions are known; decorated functions exist."""
        if self._functions is not None:
            self._functions.require(kind, name)

    def _check_id(self, instance_id: str | None) -> None:
        """Refuse an id that the host cannot store, where it says so: what is sent there would reach nobody."""
        refusal = self._refusal_of_id(instance_id) if instance_id and self._refusal_of_id is not None else None
        if refusal is not None:
            raise ValueError(refusal)

    def _check_waits(self, options: RetryOptions) -> None:
        """Refuse what the host refuses without telling anybody: the instance would wait for ever."""
        if not isinstance(options, RetryOptions):
            raise TypeError(f"retry_options must be RetryOptions, not {type(options).__name__}: {options!r:.60}")
        if self._limits is None:
            return
        longest = self._limits.longest
        for name, wait in (
            ("first_retry_interval_in_milliseconds", options.first_retry_interval_in_milliseconds),
            ("max_retry_interval_in_milliseconds", options.max_retry_interval_in_milliseconds),
        ):
            if wait is not None and timedelta(milliseconds=wait) > longest:
                raise ValueError(f"{name} is {timedelta(milliseconds=wait)}; this host waits at most {longest}.")

    def call_http(
        self,
        method: str,
        uri: str,
        content: Any | None = None,
        headers: dict[str, str] | None = None,
        token_source: TokenSourceLike | None = None,
        is_raw_str: bool = False,
        *,
        asynchronous_pattern_enabled: bool = False,
        timeout: timedelta | None = None,
        retry_options: RetryOptions | None = None,
    ) -> TaskBase[HttpAnswer]:
        """Let the host make an HTTP request.

        Args:
            method: HTTP method.
            uri: address.
            content: body, sent as JSON text, also when it is text already.
            headers: header fields.
            token_source: where the host gets a bearer token from.
            is_raw_str: send a text body as it is.
            asynchronous_pattern_enabled: while the answer is 202, ask again at its ``Location``, after its
                ``Retry-After`` or else the host's ``defaultAsyncRequestSleepTimeMilliseconds``. The waits are durable
                timers, so that a call may take days.
            timeout: how long one request may take; by default the host's limit of 240 seconds.
            retry_options: when a request fails, try again; :class:`HttpRetryOptions` says after which answers.

        Returns:
            A task whose result is a dict of ``statusCode``, ``headers`` and ``content``. Every status is a result, but
            for those that ``retry_options`` name. When no answer came, yielding the task raises ``TaskFailedError``.

        Raises:
            TypeError: ``is_raw_str`` with a body that is no text, a body that cannot be encoded, or a ``token_source``
                 or ``retry_options`` that are none.
            ValueError: a time that is not above zero.
        """
        if is_raw_str and not isinstance(content, str):
            raise TypeError(
                "Invalid use of 'is_raw_str' parameter: 'is_raw_str' is set to 'True' but 'content' is not an "
                "instance of type 'str'. Either set 'is_raw_str' to 'False', or ensure your 'content' is of type 'str'."
            )
        if token_source is not None and not callable(getattr(token_source, "to_json", None)):
            raise TypeError(f"token_source must be a TokenSource, not {type(token_source).__name__}")
        body = content if content is None or is_raw_str else json.dumps(content)
        if timeout is not None and not timeout > timedelta(0):
            raise ValueError(f"timeout must be above zero, not {timeout}.")
        request = DurableHttpRequest(
            method,
            uri,
            body,
            headers,
            token_source,
            asynchronous_pattern_enabled=asynchronous_pattern_enabled,
            timeout=timeout,
            retry_options=retry_options,
        )
        call: TaskBase = AtomicTask(None, CallHttpAction(request))
        if retry_options is not None:
            self._check_waits(retry_options)
            call = RetryAbleTask(call, retry_options, self)
        if asynchronous_pattern_enabled:
            call = PolledHttpTask(call, request, self._http_poll, self._replay_schema)
        return call

    @overload
    def call_entity(
        self, entityId: EntityAddress, operationName: str, operationInput: Any = None, *, expected_type: type[T]
    ) -> TaskBase[T]: ...

    @overload
    def call_entity(
        self, entityId: EntityAddress, operationName: str, operationInput: Any, expected_type: type[T]
    ) -> TaskBase[T]: ...

    @overload
    def call_entity(
        self,
        entityId: EntityAddress,
        operationName: str,
        operationInput: Any = None,
        expected_type: UnionType | None = None,
    ) -> TaskBase: ...

    def call_entity(
        self,
        entityId: EntityAddress,
        operationName: str,
        operationInput: Any = None,
        expected_type: type | UnionType | None = None,
    ) -> TaskBase:
        """Run an operation of an entity and wait for its result.

        Args:
            entityId: the entity; it need not exist.
            operationName: the operation.
            operationInput: a JSON value, or an object with ``to_json``.
            expected_type: class of the result.

        Returns:
            A task whose result is what the operation returned; when the operation raises, so does the task.

        Raises:
            ValueError: no entity, or a key that the host cannot store.
            FunctionNotFoundError: the app has no such entity.
            TypeError: the input cannot be encoded.
        """
        action = CallEntityAction(entityId, operationName, operationInput)
        task = EntityCallTask(None, action)
        self._require("entity", entityId.name)
        self._check_id(action.instance_id)
        task._expected_type = expected_type
        return task

    def signal_entity(
        self,
        entityId: EntityAddress,
        operationName: str,
        operationInput: Any = None,
    ) -> TaskBase[None]:
        """Run an operation of an entity without waiting; sent at once, without a ``yield``.

        Args:
            entityId: the entity; it need not exist.
            operationName: the operation.
            operationInput: a JSON value, or an object with ``to_json``.

        Returns:
            A task that never completes: do not yield it.

        Raises:
            ValueError: no entity, or a key that the host cannot store.
            FunctionNotFoundError: the app has no such entity.
            TypeError: the input cannot be encoded.
        """
        action = SignalEntityAction(entityId, operationName, operationInput)
        task = AtomicTask(None, action)
        self._require("entity", entityId.name)
        self._check_id(action.instance_id)
        self._executor.signal(task)
        return task

    def lock_entities(self, entities: Sequence[EntityAddress]) -> TaskBase[EntityLock]:
        """Lock entities, so that until they are released nobody else is served by them.

        Yield the task to wait for the lock; its result is used in a ``with`` block::

            with (yield context.lock_entities([first, second])):
                yield context.call_entity(first, "add", -10)
                yield context.call_entity(second, "add", 10)

        Within it only the locked entities can be called, each by one call at a time; they cannot be signalled, and no
        sub-orchestration can be called. What is still locked when the orchestration returns or continues as new is
        released; when it fails, the entities stay locked until the hub is cleaned of such locks.

        Args:
            entities: ids; their order does not matter.

        Returns:
            A task whose result is the lock, for ``with``. Its ``release()`` lets the entities go at once.

        Raises:
            ValueError: no entity, or a key that the host cannot store.
            FunctionNotFoundError: the app has no such entity.
            UnsupportedByHostError: the host's extension is too old for it.
        """
        if not self._offers_locks:
            raise UnsupportedByHostError(
                "lock_entities is not possible here: this host's Durable Task extension does not offer schema version "
                "3 of its protocol, the first one with locks.",
                feature="lock_entities",
            )
        action = LockEntitiesAction(entities)
        for entity in entities:
            self._require("entity", entity.name)
        for instance_id in action.entities:
            self._check_id(instance_id)
        return LockTask(None, action)

    def create_timer(self, fire_at: datetime) -> TimerTask | LongTimerTask:
        """Wake up at a time.

        Args:
            fire_at: when; without zone it is UTC. Beyond the host's limit it becomes a chain of timers.

        Returns:
            A task whose result is ``None``. Its ``cancel()`` takes the timer back; an instance does not have to wait
            for a timer that lost a race.

        Raises:
            ValueError: not a time.
        """
        if isinstance(fire_at, timedelta):
            raise ValueError(
                f"fireAt: Expected valid datetime object but got a timedelta: {fire_at}. "
                "Use context.current_utc_datetime + timedelta(...)."
            )
        action = CreateTimerAction(fire_at)
        limits = self._limits
        if limits is not None and self._replay_schema is ReplaySchema.V3:
            now = as_utc(self._executor.clock.now)
            if action._fire_at_utc - now > limits.longest:
                return LongTimerTask(None, action, self)
        return TimerTask(None, action)

    @overload
    def wait_for_external_event(self, name: str, expected_type: type[T]) -> TaskBase[T]: ...

    @overload
    def wait_for_external_event(self, name: str, expected_type: UnionType | None = None) -> TaskBase: ...

    def wait_for_external_event(self, name: str, expected_type: type | UnionType | None = None) -> TaskBase:
        """Wait for an event that somebody raises for this instance.

        Names ignore case. Events that came before are kept and taken in their order, each by one wait.

        Args:
            name: name of the event.
            expected_type: class of its data.

        Returns:
            A task whose result is the event's data.

        Raises:
            ValueError: no name.
        """
        action = WaitForExternalEventAction(name)
        task = ExternalEventTask(action.external_event_name, action)
        task._expected_type = expected_type
        return task

    def task_all(self, activities: Sequence[TaskBase[T]]) -> TaskBase[list[T]]:
        """Wait for all tasks.

        Args:
            activities: tasks that this context made.

        Returns:
            A task whose result is the list of theirs, in the order of ``activities``. The first failure fails it at
            once.

        Raises:
            ForeignAwaitableError: something that is no task.
        """
        return WhenAllTask(activities, self._replay_schema)

    def task_any(self, activities: Sequence[TaskBase[T]]) -> TaskBase[TaskBase[T]]:
        """Wait for the first task that is complete.

        Args:
            activities: tasks that this context made.

        Returns:
            A task whose result is that task itself, however it ended: compare it with ``is`` or ``==``, and read its
            ``result``. The others go on; cancel timers that are not needed any more.

        Raises:
            ForeignAwaitableError: something that is no task.
        """
        return WhenAnyTask(activities, self._replay_schema)

    def continue_as_new(self, input_: Any, *, preserve_unprocessed_events: bool = False) -> None:
        """Start over with a new input and an empty history, at the next ``yield`` or the end of the code.

        Args:
            input_: a JSON value, or an object with ``to_json``.
            preserve_unprocessed_events: keep the external events that came so far and were not waited for. Those that
                come after this call are kept in any case.

        Raises:
            UnsupportedByHostError: events are to be kept, which the protocol of the official extension has no word for.
        """
        if preserve_unprocessed_events and not self._executor.keeps_events:
            raise UnsupportedByHostError(
                "continue_as_new(..., preserve_unprocessed_events=True) is not possible here: the Durable Task "
                "extension drops external events that have come and that nobody waited for. Wait for them before, or "
                "run the app with taskhub.",
                feature="preserve_unprocessed_events",
            )
        self._executor.continue_as_new(ContinueAsNewAction(input_), keep_events=preserve_unprocessed_events)

    # -- what the orchestration is ----------------------------------------------------------------------------------

    @overload
    def get_input(self, expected_type: type[T]) -> T | None: ...

    @overload
    def get_input(self, expected_type: UnionType | None = None) -> Any: ...

    def get_input(self, expected_type: type | UnionType | None = None) -> Any:
        """Return the input, decoded anew at each call.

        Clients of this package send JSON text; whatever else a host hands over is taken as it is.

        Args:
            expected_type: class of the input; by default what the trigger's ``input_type`` says.

        Returns:
            The input; ``None`` when there is none.

        Raises:
            PayloadDecodeError: the input is not of that class, and it is one that is made from plain JSON; in strict
                mode of whatever class.
        """
        value = self._input
        if value is None:
            return None
        expected: Any = expected_type or self._input_expected_type
        try:
            if not isinstance(value, str):
                return df_loads(json.dumps(value), expected)
            try:
                return df_loads(value, expected)
            except json.JSONDecodeError:
                return converted(value, expected)
        except (PayloadDecodeError, TypeError) as error:
            raise undecodable("input of the orchestration", value, expected, error) from error

    def set_custom_status(self, status: Any) -> None:
        """Show a value in the instance's status, from the end of this episode on.

        Args:
            status: a JSON value whose text is at most 16 KB in UTF-16; falsy values are shown as none.
        """
        self._custom_status = status

    @property
    def custom_status(self) -> Any:
        """The latest custom status."""
        return self._custom_status

    def new_uuid(self) -> str:
        """Return a UUID that is the same on each replay."""
        from azure.durable_functions._replay import uuids  # seldom needed

        return uuids.text_uuid(self._instance_id, self._executor.clock.now, self._next_count())

    def new_guid(self) -> UUID:
        """Return a UUID that is the same on each replay."""
        from azure.durable_functions._replay import uuids

        return uuids.guid(self._instance_id, self._executor.clock.now, self._next_count())

    def _next_count(self) -> int:
        count = self._id_counter
        self._id_counter += 1
        return count

    @property
    def current_utc_datetime(self) -> datetime:
        """Now, as of the latest episode; aware UTC, the same on each replay."""
        return self._executor.clock.now

    @current_utc_datetime.setter
    def current_utc_datetime(self, value: datetime) -> None:
        if not isinstance(value, datetime):
            raise TypeError(f"current_utc_datetime must be a datetime, not {type(value).__name__}: {value!r:.60}")
        self._executor.clock.now = value

    @property
    def is_replaying(self) -> bool:
        """Whether the code that runs now has run before, in an earlier episode."""
        return self._executor.is_replaying

    @property
    def logger(self) -> ReplaySafeLogger:
        """A logger that is silent while the code replays.

        Its records have the attributes ``instance_id`` and ``function_name``. It is called
        ``durable_functions.{function name}``.
        """
        if self._logger is None:
            self._logger = self.create_replay_safe_logger(logging.getLogger(f"durable_functions.{self._name}"))
        return self._logger

    def create_replay_safe_logger(self, logger: logging.Logger) -> ReplaySafeLogger:
        """Return a logger that passes on to ``logger`` what is not replayed; see ``context.logger``."""
        return ReplaySafeLogger(logger, self._executor, instance_id=self._instance_id, function_name=self._name)

    @property
    def _name(self) -> str:
        """Name under which the orchestration was started."""
        started = self._execution_started
        return str((started.get("Name") if started is not None else None) or "orchestrator")

    @property
    def _execution_started(self) -> Mapping[str, Any] | None:
        return next((e for e in self._events if e["EventType"] == HistoryEventType.EXECUTION_STARTED), None)

    @property
    def instance_id(self) -> str:
        """Id of the instance."""
        return self._instance_id

    @property
    def parent_instance_id(self) -> str | None:
        """Id of the orchestration that called this one."""
        return self._parent_instance_id

    @property
    def will_continue_as_new(self) -> bool:
        """Whether ``continue_as_new`` was called."""
        return self._executor.continued_as_new is not None

    @property
    def version(self) -> str | None:
        """Version of the orchestration, given when it was started."""
        started = self._execution_started
        return None if started is None else started.get("Version")

    @property
    def histories(self) -> list[HistoryEvent]:
        """Events of the execution so far."""
        known, events = self._histories, self._events
        if len(known) < len(events):
            later = events.since(len(known)) if isinstance(events, EventLog) else events
            # A new list, so that code which walks over an older one does not see it grow.
            known = self._histories = [*known, *(HistoryEvent(**event) for event in later)]
        return known

    @property
    def function_context(self) -> FunctionContext:
        """Whatever else the host told about the invocation."""
        return self._function_context

    # -- what tasks and shells need ---------------------------------------------------------------------------------

    @property
    def _raw_history(self) -> Sequence[Mapping[str, Any]]:
        """Events of the execution so far, as the host handed them over."""
        return list(self._events) if isinstance(self._events, EventLog) else self._events

    @property
    def _replay_schema(self) -> ReplaySchema:
        """Form of the actions, agreed with the host."""
        return self._executor.schema

    @property
    def _timer_limits(self) -> Limits:
        """The host's limits for one timer.

        Raises:
            RuntimeError: it has none.
        """
        if self._limits is None:
            raise RuntimeError("The host has no limit for timers.")
        return self._limits

    def _another_attempt(self, child: TaskBase) -> TaskBase:
        """Return a fresh task like ``child``, an attempt that failed."""
        task = type(child)(None, child.action_repr)
        task._expected_type = child._expected_type  # type: ignore[attr-defined]  # attempts are atomic
        return task


_FIRST_SCHEMA_WITH_LOCKS = 3
"""The host takes lock actions under every schema; what it offers tells whether it knows them."""

_REQUIRED = ("history", "instanceId", "isReplaying", "parentInstanceId")
_KINDS: dict[str, tuple[type, ...]] = {
    "history": (list,),
    "instanceId": (str,),
    "parentInstanceId": (str, type(None)),
    "upperSchemaVersion": (int,),
    "upperSchemaVersionNew": (int, type(None)),
    "maximumShortTimerDuration": (str, type(None)),
    "longRunningTimerIntervalDuration": (str, type(None)),
}
"""Of what kind the keys are that would else be trouble later, far from here."""


def _first_clock(history: Any) -> Clock:
    try:
        started = next(event for event in history if event["EventType"] == HistoryEventType.ORCHESTRATOR_STARTED)
        return Clock(started["Timestamp"])
    except (StopIteration, LookupError, TypeError, ValueError) as error:
        check_history(history)
        raise CorruptHistoryError(f"The first OrchestratorStarted event has no time: {error}") from error


def _agreed_schema(upper: int, upper_new: int | None) -> ReplaySchema:
    try:
        schema = ReplaySchema(upper)
    except ValueError as error:
        raise _malformed("upperSchemaVersion", error) from None
    if upper_new is not None and upper_new > upper:
        return ReplaySchema(min(upper_new, ReplaySchema.V3.value))
    return schema


def _malformed(key: str, error: ValueError) -> MalformedContextError:
    """Return the reference's complaint, with the key that it leaves out."""
    return MalformedContextError(f"{error} ({key!r} of the orchestration trigger)", key=key)


_SPAN = re.compile(r"(-)?(?:(\d+)\.)?(\d\d):(\d\d):(\d\d)(?:\.(\d{7}))?$")


def parse_span(text: str) -> timedelta:
    """Read a .NET time span, ``[-][d.]hh:mm:ss[.fffffff]``.

    Raises:
        ValueError: not a span.
    """
    match = _SPAN.match(text)
    if match is None:
        raise ValueError(f"Format of TimeSpan failed attempted conversion to timedelta: {text}")
    sign, days, hours, minutes, seconds, fraction = match.groups()
    span = timedelta(
        days=int(days or 0),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int(fraction or 0) // 10,
    )
    return -span if sign else span


def _limits(longest: str | None, leg: str | None) -> Limits | None:
    """Return the limits if the host has both and neither is zero."""
    spans = []
    for key, text in (("maximumShortTimerDuration", longest), ("longRunningTimerIntervalDuration", leg)):
        if text is None:
            continue
        try:
            spans.append(parse_span(text))
        except ValueError as error:
            raise _malformed(key, error) from None
    if len(spans) < 2 or not all(spans):
        return None
    return Limits(*spans)
