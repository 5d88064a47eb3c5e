"""Orchestrations as data, and the Python that they stand for.

A program is a list of statements, a statement a tuple whose first member names it, so that a failing example prints as
something to read. ``source`` writes it as a module of plain Python, which any SDK of this protocol can run and which
is the ``orchestrator.py`` of a recorded case; ``orchestrator`` gives the function that it defines.

Tasks: ``("activity", name, input, expected)``, ``("retry", name, seconds, attempts, expected)``,
``("child", name, instance_id, version, expected)``, ``("child_retry", name, seconds, attempts, instance_id)``,
``("timer", seconds, form)`` (form: None, "naive", "east", "date", "text"), ``("event", name, expected)``,
``("entity", key, operation, input, expected)``, ``("http", path, content, raw)``, ``("all", [task...])``,
``("any", [task...])``, ``("kept", n)`` (the n-th task that was made), ``("none", value)`` (no task at all).

Statements that wait: ``("yield", task)``, ``("try", task)``, ``("race", task, seconds)``, ``("both", task, task)``
(makes two tasks, then waits for one after the other), ``("rethrow", task, kind, text)``, ``("tidy", task, status)``,
``("choose", task, seconds, statements, statements)`` (a race: the first ones if the task wins, else the others),
``("answer", task)`` (its result is the output), ``("part", statements)`` (a generator of its own),
``("repeat", times, statements)``.

Others: ``("make", task)``, ``("look", n)`` and ``("cancel", n)`` (at the n-th task that was made),
``("signal", key, input)``, ``("status", value)``, ``("ids",)``, ``("facts",)``, ``("input", expected)``,
``("clock", seconds)``, ``("raise", text, kind)``, ``("restart", limit)``, ``("restart_with", value)``,
``("return", value)``; ``("plain",)`` as the first makes the function no generator: nothing may wait then.

Trailing members may be left out. Values are JSON, and ``{"$": kind, "of": value}`` for what is
not, kinds as in ``_SPECIAL``. Expected types are texts of Python expressions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.answers import load

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

TIMER_MARK = 7_001
"""Microseconds of every time that a program sets a timer to; no timer of a retry has them."""

_POINT = """
class Point:
    def __init__(self, x):
        self.x = x

    def to_json(self):
        return self.x

    @classmethod
    def from_json(cls, data):
        return cls(data)
"""

_BROKEN = """
class Broken:
    def to_json(self):
        raise RuntimeError("no form for this")
"""

_REFUSED = """
class Refused(Exception):
    pass
"""

_PLAIN = """
def plain(value):
    if isinstance(value, df.models.TaskBase):
        return ["task", plain(value.result)]
    if isinstance(value, BaseException):
        return ["error", type(value).__name__, str(value)]
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, Point):
        return ["point", plain(value.x)]
    return value
"""

_LOOK = """
def look(task):
    cancelled = getattr(task, "is_cancelled", None)
    return [task.is_completed, task.state.name, plain(task.result), cancelled]
"""

_DECORATED = """
app = df.Blueprint()


@app.activity_trigger(input_name="value")
def Typed(value) -> int:
    return value


@app.orchestration_trigger(context_name="context")
def Child(context):
    return None


def untyped(value):
    return value
"""

_DECORATED_NAMES = ("Typed", "Child", "untyped")


def source(program: list[Any]) -> str:
    """Return a program as a module: ``flow`` is the user's function, ``main`` the handle that the worker calls."""
    return _Writer().module(program)


def orchestrator(program: list[Any]) -> Callable[[Any], Generator[Any, Any, Any]]:
    """Return the function that a program stands for; its result is a list of what the program saw."""
    flow: Callable[[Any], Generator[Any, Any, Any]] = load(source(program)).flow
    return flow


def helpers(body: str) -> list[str]:
    """Return the texts of the classes and functions that a body needs."""
    shows = "plain(" in body or "look(" in body
    needed = {
        _POINT: shows or "Point" in body,
        _BROKEN: "Broken(" in body,
        _REFUSED: "Refused(" in body,
        _PLAIN: shows,
        _LOOK: "look(" in body,
        _DECORATED: any(f"({name}," in body for name in _DECORATED_NAMES),
    }
    return ["\n" + helper for helper, is_needed in needed.items() if is_needed]


class _Writer:
    """Writes one module."""

    def __init__(self) -> None:
        self.parts: list[list[str]] = []
        self.lines: list[str] = []
        self.indent = 1
        self.made: list[str] = []
        self.count = 0

    def module(self, program: list[Any]) -> str:
        plain = bool(program) and program[0][0] == "plain"
        flow = self.function("flow", program[1:] if plain else program, waits=not plain)
        body = "\n".join(["", "", *(line for part in [*self.parts, flow] for line in [*part, "", ""]), ""])
        body += "main = df.Orchestrator.create(flow)\n"
        return "".join([*self.imports(body), *helpers(body), body])

    def imports(self, body: str) -> list[str]:
        names = [name for name in ("timedelta", "timezone") if f"{name}(" in body]
        lines = [f"from datetime import {', '.join(names)}\n\n"] if names else []
        return [*lines, "import azure.durable_functions as df\n"]

    def function(self, name: str, statements: list[Any], *, waits: bool = True) -> list[str]:
        """Return the lines of a function; tasks that were made outside of it are not seen in it."""
        outer, self.lines, self.made, self.indent = (self.lines, self.made, self.indent), [], [], 1
        self.emit("seen = []")
        self.statements(statements)
        self.emit("return seen")
        lines = [f"def {name}(context):", *self.lines]
        if waits and not any("yield" in line for line in self.lines):
            lines.append("    yield")
        self.lines, self.made, self.indent = outer
        return lines

    def statements(self, statements: list[Any]) -> None:
        for statement in statements:
            getattr(self, "do_" + statement[0])(*statement[1:])

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    # -- statements -------------------------------------------------------------------------------------------------

    def do_yield(self, task: Any) -> None:
        self.emit(f"seen.append(plain((yield {self.make(task)})))")

    def do_follow(self, given: Any, count: int) -> None:
        """Call one activity after the other, each with what the run before told of itself."""
        name, step = self.name("given"), self.name("step")
        self.emit(f"{name} = {given!r}")
        self.emit(f"for _ in range({count}):")
        self.emit(f'    {step} = yield context.call_activity("ok", {name})')
        self.emit(f"    seen.append(plain({step}))")
        self.emit(f'    {name} = ["after", {step}["run"]]')

    def do_try(self, task: Any) -> None:
        name = self.make(task)
        self.emit("try:")
        self.emit(f"    seen.append(plain((yield {name})))")
        self.emit("except Exception as error:")
        self.emit('    seen.append(["caught", str(error)])')

    def do_race(self, task: Any, seconds: int) -> None:
        name, timer, winner = self.make(task), self.make(["timer", seconds]), self.name("winner")
        self.emit(f"{winner} = yield context.task_any([{name}, {timer}])")
        self.emit(f"if {winner} is {name}:")
        self.emit(f"    {timer}.cancel()")
        self.emit(f'    seen.append(["won", plain({name}.result)])')
        self.emit("else:")
        self.emit('    seen.append("late")')

    def do_choose(self, task: Any, seconds: int, won: list[Any], late: list[Any]) -> None:
        self.do_race(task, seconds)
        self.emit('if seen[-1] != "late":')
        self._block(won)
        self.emit("else:")
        self._block(late)

    def do_both(self, first: Any, second: Any) -> None:
        names = [self.make(first), self.make(second)]
        for name in names:
            self.emit(f"seen.append(plain((yield {name})))")

    def do_rethrow(self, task: Any, kind: str, text: str) -> None:
        name = self.make(task)
        self.emit("try:")
        self.emit(f"    seen.append(plain((yield {name})))")
        self.emit("except Exception as error:")
        self.emit(f"    raise {kind}({value(text)}) from error")

    def do_tidy(self, task: Any, status: Any) -> None:
        name = self.make(task)
        self.emit("try:")
        self.emit(f"    seen.append(plain((yield {name})))")
        self.emit("finally:")
        self.emit(f"    context.set_custom_status({value(status)})")

    def do_answer(self, task: Any) -> None:
        self.emit(f"return (yield {self.make(task)})")

    def do_part(self, statements: list[Any]) -> None:
        part = self.name("part_")
        self.parts.append(self.function(part, statements))
        self.emit(f"seen.append((yield from {part}(context)))")

    def do_repeat(self, times: int, statements: list[Any]) -> None:
        self.emit(f"for _ in range({times}):")
        self._block(statements)

    def _block(self, statements: list[Any]) -> None:
        self.indent += 1
        self.statements(statements)
        self.emit("pass")
        self.indent -= 1

    def do_make(self, task: Any) -> None:
        self.make(task)

    def do_look(self, number: int) -> None:
        if self.made:
            self.emit(f"seen.append(look({self.kept(number)}))")

    def do_cancel(self, number: int) -> None:
        if self.made:
            self.emit("try:")
            self.emit(f"    {self.kept(number)}.cancel()")
            self.emit("except (ValueError, AttributeError) as error:")
            self.emit("    seen.append(type(error).__name__)")

    def do_signal(self, key: str, input_: Any = None) -> None:
        self.emit(f'context.signal_entity({entity(key)}, "add", {value({"by": 1} if input_ is None else input_)})')

    def do_status(self, status: Any) -> None:
        self.emit(f"context.set_custom_status({value(status)})")

    def do_ids(self) -> None:
        self.emit(
            "seen.append([context.new_uuid(), str(context.new_guid()), context.current_utc_datetime.isoformat()])"
        )

    def do_facts(self) -> None:
        self.emit("seen.append([context.is_replaying, context.will_continue_as_new, context.custom_status])")
        self.emit("seen.append([context.instance_id, context.parent_instance_id, context.version])")
        self.emit("seen.append([(e.event_type, e.event_id, e.is_played, e.Name) for e in context.histories])")

    def do_input(self, expected: str | None = None) -> None:
        self.emit(f"seen.append(plain(context.get_input({expected or ''})))")

    def do_clock(self, seconds: int) -> None:
        self.emit(f"context.current_utc_datetime += timedelta(seconds={seconds})")

    def do_raise(self, text: str, kind: str = "ValueError") -> None:
        self.emit(f"raise {kind}({value(text)})")

    def do_restart(self, limit: int) -> None:
        self.emit("generation = context.get_input() or 0")
        self.emit(f"if generation < {limit}:")
        self.emit("    context.continue_as_new(generation + 1)")

    def do_restart_with(self, input_: Any) -> None:
        self.emit(f"context.continue_as_new({value(input_)})")

    def do_return(self, output: Any) -> None:
        self.emit(f"return {value(output)}")

    # -- tasks ------------------------------------------------------------------------------------------------------

    def make(self, task: Any) -> str:
        """Write what makes a task, and return the name of its variable."""
        if task[0] == "kept" and self.made:
            return self.kept(task[1])
        expression = getattr(self, "task_" + task[0])(*task[1:])
        name = self.name("task_")
        self.emit(f"{name} = {expression}")
        self.made.append(name)
        return name

    def kept(self, number: int) -> str:
        return self.made[number % len(self.made)]

    def task_activity(self, name: str, input_: Any, expected: str | None = None) -> str:
        return f"context.call_activity({self.function_name(name)}, {value(input_)}{_expected(expected)})"

    def task_retry(self, name: str, seconds: int, attempts: int, expected: str | None = None) -> str:
        options = f"df.RetryOptions({seconds * 1000}, {attempts})"
        called = self.function_name(name)
        return f'context.call_activity_with_retry({called}, {options}, "again"{_expected(expected)})'

    def task_child(
        self, name: str, instance_id: str | None, version: str | None = None, expected: str | None = None
    ) -> str:
        options = f", version={value(version)}" if version is not None else ""
        called = self.function_name(name)
        return (
            f'context.call_sub_orchestrator({called}, {{"n": 1}}, {value(instance_id)}{options}{_expected(expected)})'
        )

    def task_child_retry(self, name: str, seconds: int, attempts: int, instance_id: str | None = None) -> str:
        options = f"df.RetryOptions({seconds * 1000}, {attempts})"
        own = f", instance_id={value(instance_id)}" if instance_id is not None else ""
        return f"context.call_sub_orchestrator_with_retry({self.function_name(name)}, {options}{own})"

    def task_timer(self, seconds: int, form: str | None = None) -> str:
        fire_at = f"(context.current_utc_datetime + timedelta(seconds={seconds})).replace(microsecond={TIMER_MARK})"
        if form == "text":
            fire_at = '"soon"'
        elif form is not None:
            conversion = {
                "naive": "replace(tzinfo=None)",
                "east": "astimezone(timezone(timedelta(hours=1)))",
                "date": "date()",
            }[form]
            fire_at = f"{fire_at}.{conversion}"
        return f"context.create_timer({fire_at})"

    def task_event(self, name: str, expected: str | None = None) -> str:
        return f"context.wait_for_external_event({value(name)}{_expected(expected)})"

    def task_entity(self, key: str, operation: str = "get", input_: Any = None, expected: str | None = None) -> str:
        given = f", {value(input_)}" if input_ is not None else ""
        return f"context.call_entity({entity(key)}, {value(operation)}{given}{_expected(expected)})"

    def task_http(self, path: str, content: Any = None, raw: bool = False, token: bool = False) -> str:
        more = f", {value(content)}" if content is not None else ""
        if token:
            more += ', headers={"x-trace": "1"}, token_source=df.ManagedIdentityTokenSource("https://api.test")'
        return f'context.call_http("GET", "http://example.test/{path}"{more}{", is_raw_str=True" if raw else ""})'

    def task_all(self, tasks: list[Any]) -> str:
        return f"context.task_all([{', '.join([self.make(task) for task in tasks])}])"

    def task_any(self, tasks: list[Any]) -> str:
        return f"context.task_any([{', '.join([self.make(task) for task in tasks])}])"

    def task_kept(self, number: int) -> str:
        return 'context.call_activity("nothing_kept")'

    def task_none(self, what: Any) -> str:
        return value(what)

    def function_name(self, name: str) -> str:
        """Return the text of a name, or of the decorated function that stands for it."""
        if name.startswith("$"):
            return name[1:]
        return value(name)


def entity(key: str) -> str:
    """Return the text of an entity's id."""
    return f'df.EntityId("Counter", {value(key)})'


_SPECIAL = {
    "point": "Point({})",
    "set": "{{{}}}",
    "bytes": "bytes([{}])",
    "broken": "Broken()",
    "nan": 'float("nan")',
    "tuple": "({}, 2)",
    "object_key": "{{({}, 2): 1}}",
}


def value(what: Any) -> str:
    """Return the text of a value."""
    if isinstance(what, dict):
        if "$" in what:
            return _SPECIAL[what["$"]].format(value(what.get("of", 1)))
        return "{" + ", ".join(f"{value(key)}: {value(each)}" for key, each in what.items()) + "}"
    if isinstance(what, list):
        return "[" + ", ".join(map(value, what)) + "]"
    return json.dumps(what, ensure_ascii=False) if isinstance(what, str) else repr(what)


def _expected(expected: str | None) -> str:
    return "" if expected is None else f", expected_type={expected}"
