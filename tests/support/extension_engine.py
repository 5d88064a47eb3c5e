"""The official extension's side of the JSON protocol: carries out a list of actions against a history.

Each episode it runs the whole list again, as if user code had called its own API in that order, and gives ids from one
counter as operations start. Retries, and the polls of HTTP calls, are its own business: timers and attempts take their
ids when the event before them is processed. What has an id and no scheduling event in the history is new.

Source: Durable Task extension, OutOfProcOrchestrationShim; DurableTask.Core, RetryInterceptor.
"""

from __future__ import annotations

import contextlib
import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

HTTP_ACTIVITY = "BuiltIn::HttpActivity"
DEFAULT_POLL = timedelta(seconds=30)
_DEFAULT_LONGEST_WAIT = timedelta(days=6)


class TaskFailed(Exception):
    pass


@dataclass
class Operation:
    """Something durable that the list has started."""

    task_id: int
    kind: int
    """EventType of its scheduling event."""
    name: str | None
    input: Any = None
    fire_at: datetime | None = None
    is_cancelled: bool = False
    instance_id: str | None = None


class Future:
    def __init__(self) -> None:
        self.is_done = False
        self.error: Exception | None = None
        self.value: Any = None
        self.waiting: list[Task] = []

    def __await__(self) -> Generator[Future, None, Any]:
        if not self.is_done:
            yield self
        if self.error is not None:
            raise self.error
        return self.value

    def finish(self, error: Exception | None, ready: deque[Task], value: Any = None) -> None:
        if not self.is_done:
            self.is_done, self.error, self.value = True, error, value
            ready.extend(self.waiting)


class Task(Future):
    def __init__(self, code: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.code = code

    def step(self, ready: deque[Task]) -> None:
        try:
            waits_for = self.code.send(None)
        except StopIteration as stop:
            self.finish(None, ready, stop.value)
        except TaskFailed as error:
            self.finish(error, ready)
        else:
            waits_for.waiting.append(self)


class ExtensionEngine:
    """One run of a list of actions over one history.

    Attributes:
        operations: everything that was started, by id.
        waits_at: index of the action that is waited for; past the end when none is.
    """

    def __init__(self, actions: list[dict[str, Any]]) -> None:
        self.operations: dict[int, Operation] = {}
        self.waits_at = 0
        self._actions = actions
        self._open: dict[int, Future] = {}
        self._ready: deque[Task] = deque()
        self._now = datetime.min

    def run(self, history: list[dict[str, Any]]) -> list[Operation]:
        """Replay; return the operations that the history does not have yet, in the order of their ids.

        Raises:
            AssertionError: the history does not fit, or the code is ahead.
        """
        recorded = set()
        main = Task(self._main())
        for event in history:
            match event["EventType"]:
                case 12:
                    self._now = parse(event["Timestamp"])
                case 0:
                    self._ready.append(main)
                case 5 | 8:
                    self._finish(event["TaskScheduledId"], None, event.get("Result"))
                case 6 | 9:
                    self._finish(event["TaskScheduledId"], TaskFailed(event["Reason"]))
                case 11:
                    self._finish(event["TimerId"], None)
                case 4 | 7 | 10:
                    recorded.add(event["EventId"])
                    self._check(event)
            while self._ready:
                self._ready.popleft().step(self._ready)
        assert self.waits_at >= len(self._actions) - 1, f"the code is ahead: {self._actions[self.waits_at]} is not over"
        return [operation for task_id, operation in self.operations.items() if task_id not in recorded]

    def _check(self, event: dict[str, Any]) -> None:
        operation = self.operations.get(event["EventId"])
        agrees = operation is not None and (operation.kind, operation.name) == (event["EventType"], event.get("Name"))
        assert agrees, f"non-deterministic: {event} but the list has {operation}"

    def _finish(self, task_id: int, error: Exception | None, value: Any = None) -> None:
        future = self._open.pop(task_id, None)
        if future is not None:  # else a cancelled timer
            future.finish(error, self._ready, value)

    async def _main(self) -> None:
        for action in self._actions:
            with contextlib.suppress(TaskFailed):  # the SDK has seen it too and knows what to do
                await self._start(action)
            self.waits_at += 1

    def _start(self, action: dict[str, Any]) -> Future:
        match action["actionType"]:
            case 0:
                return self._schedule(4, action["functionName"], action["input"])
            case 1 | 3:
                return self._spawn(self._with_retry(action))
            case 8:
                return self._spawn(self._http(action["httpRequest"]))
            case 2:
                return self._schedule(7, action["functionName"], action["input"], instance_id=action["instanceId"])
            case 5:
                return self._timer(parse(action["fireAt"]), is_cancelled=action["isCanceled"])
            case 11:
                return self._spawn(self._any([self._start(child) for child in action["compoundActions"]]))
            case 12:
                return self._spawn(self._all([self._start(child) for child in action["compoundActions"]]))
        raise AssertionError(f"the engine does not do {action}")

    def _spawn(self, code: Coroutine[Any, Any, Any]) -> Future:
        task = Task(code)
        task.step(self._ready)  # runs at once to its first wait, as a .NET task does
        return task

    def _schedule(self, kind: int, name: str | None, value: Any = None, **facts: Any) -> Future:
        task_id = len(self.operations)
        self.operations[task_id] = Operation(task_id, kind, name, value, **facts)
        self._open[task_id] = future = Future()
        return future

    def _timer(self, fire_at: datetime, *, is_cancelled: bool = False) -> Future:
        future = self._schedule(10, None, fire_at=fire_at, is_cancelled=is_cancelled)
        if is_cancelled:
            del self._open[max(self.operations)]
            future.finish(TaskFailed("cancelled"), self._ready)
        return future

    async def _any(self, futures: list[Future]) -> None:
        first = Future()

        async def watch(future: Future) -> None:
            try:
                await future
            except TaskFailed:
                pass
            finally:
                first.finish(None, self._ready)

        for future in futures:
            self._spawn(watch(future))
        await first

    async def _all(self, futures: list[Future]) -> None:
        failure: TaskFailed | None = None
        for future in futures:
            try:
                await future
            except TaskFailed as error:  # noqa: PERF203 (all are waited for)
                failure = failure or error
        if failure is not None:
            raise failure

    async def _http(self, request: dict[str, Any]) -> None:
        if "retryOptions" in request:
            options = {
                name + _UNITS.get(name, ""): _milliseconds(each) for name, each in request["retryOptions"].items()
            }
            action = {"actionType": 1, "functionName": HTTP_ACTIVITY, "input": request, "retryOptions": options}
            text = await self._spawn(self._with_retry(action))
        else:
            text = await self._schedule(4, HTTP_ACTIVITY, request)
        while request.get("asynchronousPatternEnabled") and json.loads(text)["statusCode"] == 202:
            headers = json.loads(text)["headers"]
            wait = DEFAULT_POLL if "Retry-After" not in headers else timedelta(seconds=int(headers["Retry-After"]))
            await self._timer(self._now + wait)
            if "Location" not in headers:
                raise TaskFailed("The given key 'Location' was not present in the dictionary.")
            text = await self._schedule(4, HTTP_ACTIVITY, headers["Location"])

    async def _with_retry(self, action: dict[str, Any]) -> Any:
        options = action["retryOptions"]
        first_attempt = self._now
        last: TaskFailed | None = None
        for count in range(options["maxNumberOfAttempts"]):
            try:
                kind = 4 if action["actionType"] == 1 else 7
                value = await self._schedule(
                    kind, action["functionName"], action["input"], instance_id=action.get("instanceId")
                )
            except TaskFailed as error:
                last = error
            else:
                return value
            if count + 1 == options["maxNumberOfAttempts"]:
                await self._timer(self._now)  # kept for old histories
                break
            timeout = options.get("retryTimeoutInMilliseconds")
            if timeout is not None and self._now >= first_attempt + timedelta(milliseconds=timeout):
                break
            wait = options["firstRetryIntervalInMilliseconds"] * options.get("backoffCoefficient", 1.0) ** count
            longest = _DEFAULT_LONGEST_WAIT
            if "maxRetryIntervalInMilliseconds" in options:
                longest = timedelta(milliseconds=options["maxRetryIntervalInMilliseconds"])
            await self._timer(self._now + min(timedelta(milliseconds=wait), longest))
        assert last is not None
        raise last


_UNITS = dict.fromkeys(("firstRetryInterval", "maxRetryInterval", "retryTimeout"), "InMilliseconds")


def _milliseconds(value: Any) -> Any:
    """Return a time span in the unit of the other retries; what is none stays."""
    if not isinstance(value, str):
        return value
    days, _, rest = value.rpartition(".") if "." in value.partition(":")[0] else ("0", "", value)
    hours, minutes, seconds = rest.split(":")
    return round((((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)) * 1000)


def parse(text: str) -> datetime:
    """Read a time of the protocol."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
