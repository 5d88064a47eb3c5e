"""Orchestrations as data: small programs that any SDK of this protocol can run, and a strategy that writes them.

A program is a list of statements, a statement a tuple whose first member names it, so that a failing example prints as
something to read and a program travels as JSON to another interpreter. It uses nothing of the SDK but the public
context.

Tasks: ``("activity", name, input)``, ``("retry", name, seconds, attempts)``, ``("child", name, instance_id)``,
``("child_retry", name, seconds, attempts)``, ``("timer", seconds)``, ``("event", name)``, ``("entity", key)``,
``("http", path)``, ``("all", [task...])``, ``("any", [task...])``, ``("kept", n)`` (the n-th task that was made).

Statements: ``("yield", task)``, ``("try", task)``, ``("race", task, seconds)``, ``("make", task)``,
``("signal", key)``, ``("status", value)``, ``("ids",)``, ``("raise", text)``, ``("restart", limit)``,
``("return", value)``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

TIMER_MARK = 7_001
"""Microseconds of every time that a program sets a timer to; no timer of a retry has them."""


def orchestrator(program: list[Any]) -> Callable[[Any], Generator[Any, Any, Any]]:
    """Return the generator function that runs a program; its result is a list of what the program saw."""

    def run(context: Any) -> Generator[Any, Any, Any]:
        return (yield from _Run(context).statements(program))

    return run


class _Run:
    def __init__(self, context: Any) -> None:
        self.context = context
        self.seen: list[Any] = []
        self.kept: list[Any] = []

    def statements(self, program: list[Any]) -> Generator[Any, Any, Any]:
        for statement in program:
            ended, value = yield from getattr(self, "do_" + statement[0])(*statement[1:])
            if ended:
                return value
        return self.seen

    def do_yield(self, spec: Any) -> Generator[Any, Any, Any]:
        task = self.make(spec)
        self.seen.append(_plain((yield task)))
        return False, None

    def do_try(self, spec: Any) -> Generator[Any, Any, Any]:
        task = self.make(spec)
        try:
            self.seen.append(_plain((yield task)))
        except Exception as error:
            self.seen.append(["caught", str(error)])
        return False, None

    def do_race(self, spec: Any, seconds: int) -> Generator[Any, Any, Any]:
        task, timer = self.make(spec), self.make(["timer", seconds])
        winner = yield self.context.task_any([task, timer])
        if winner is task:
            timer.cancel()
            self.seen.append(["won", _plain(task.result)])
        else:
            self.seen.append("late")
        return False, None

    def do_make(self, spec: Any) -> Generator[Any, Any, Any]:
        self.make(spec)
        return False, None
        yield

    def do_signal(self, key: str) -> Generator[Any, Any, Any]:
        self.context.signal_entity(_entity(key), "add", {"by": 1})
        return False, None
        yield

    def do_status(self, value: Any) -> Generator[Any, Any, Any]:
        self.context.set_custom_status(value)
        return False, None
        yield

    def do_ids(self) -> Generator[Any, Any, Any]:
        context = self.context
        self.seen.append([context.new_uuid(), str(context.new_guid()), context.current_utc_datetime.isoformat()])
        return False, None
        yield

    def do_raise(self, text: str) -> Generator[Any, Any, Any]:
        raise ValueError(text)
        yield

    def do_restart(self, limit: int) -> Generator[Any, Any, Any]:
        generation = self.context.get_input() or 0
        if generation < limit:
            self.context.continue_as_new(generation + 1)
        return False, None
        yield

    def do_return(self, value: Any) -> Generator[Any, Any, Any]:
        return True, value
        yield

    def make(self, spec: Any) -> Any:
        task = getattr(self, "task_" + spec[0])(*spec[1:])
        if spec[0] != "kept":
            self.kept.append(task)
        return task

    def task_activity(self, name: str, value: Any) -> Any:
        return self.context.call_activity(name, value)

    def task_retry(self, name: str, seconds: int, attempts: int) -> Any:
        return self.context.call_activity_with_retry(name, _retry(seconds, attempts), "again")

    def task_child(self, name: str, instance_id: str | None) -> Any:
        return self.context.call_sub_orchestrator(name, {"n": 1}, instance_id)

    def task_child_retry(self, name: str, seconds: int, attempts: int) -> Any:
        return self.context.call_sub_orchestrator_with_retry(name, _retry(seconds, attempts))

    def task_timer(self, seconds: int) -> Any:
        fire_at = self.context.current_utc_datetime + timedelta(seconds=seconds)
        return self.context.create_timer(fire_at.replace(microsecond=TIMER_MARK))

    def task_event(self, name: str) -> Any:
        return self.context.wait_for_external_event(name)

    def task_entity(self, key: str) -> Any:
        return self.context.call_entity(_entity(key), "get")

    def task_http(self, path: str) -> Any:
        return self.context.call_http("GET", "http://example.test/" + path)

    def task_all(self, specs: list[Any]) -> Any:
        return self.context.task_all([self.make(spec) for spec in specs])

    def task_any(self, specs: list[Any]) -> Any:
        return self.context.task_any([self.make(spec) for spec in specs])

    def task_kept(self, number: int) -> Any:
        if not self.kept:
            return self.context.call_activity("nothing_kept")
        return self.kept[number % len(self.kept)]


def _entity(key: str) -> Any:
    import azure.durable_functions as df

    return df.EntityId("Counter", key)


def _retry(seconds: int, attempts: int) -> Any:
    import azure.durable_functions as df

    return df.RetryOptions(seconds * 1000, attempts)


def _plain(value: Any) -> Any:
    """Return a result as JSON: tasks (of ``task_any``) by their own results, errors by their text."""
    if hasattr(value, "is_completed"):
        return ["task", _plain(value.result)]
    if isinstance(value, BaseException):
        return ["error", str(value)]
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
