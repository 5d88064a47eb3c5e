"""A mutant: our code with one mistake in it, made while the process runs.

A mistake is written as an :class:`Edit`, a piece of a function's source and what stands there instead. It is made by
giving the function the code that the edited source compiles to, so that everybody who has the function at hand runs
the mistake, and taken back in the same way. An edit whose piece is not there, or more than once, is refused: a mutant
follows the code or says that it cannot.
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import inspect
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import CodeType, FunctionType

    from taskhub.simulation.fates import Fates


@dataclass(frozen=True)
class Edit:
    """A change of one function.

    Args:
        function: which one; of a decorated one, what it decorates is changed.
        old: a piece of its source, without the function's own indentation; it must be there exactly once.
        new: what stands there instead.
    """

    function: Callable[..., Any]
    old: str
    new: str

    @property
    def where(self) -> str:
        """The function's name, for people."""
        function = inspect.unwrap(self.function)
        return f"{function.__module__.removeprefix('taskhub.')}.{function.__qualname__}"


@dataclass(frozen=True)
class Mutant:
    """One mistake that the simulation must find."""

    name: str
    breaks: str
    """What is wrong then, in a sentence."""
    hazard: str
    """Where the spec, or the design, tells why it is done right."""
    edits: tuple[Edit, ...]
    seeds: int = 60
    """Within so many seeds it is found."""
    workload: Mapping[str, Any] | None = None
    """What the runs consist of, by instance id; ``None``: what is drawn."""
    faults: str = "heavy"
    """The profile of the runs."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the hubs, where not all that are drawn would do, and other arguments of the runs."""
    schedule: Callable[[int], Fates] | None = None
    """What befalls the run of a seed; ``None``: what is drawn."""

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Make the mistake while the block runs."""
        changed: list[tuple[FunctionType, CodeType]] = []
        try:
            for function, edits in self._by_function().items():
                code = _edited(function, edits)
                changed.append((function, function.__code__))
                function.__code__ = code
            yield
        finally:
            for function, code in reversed(changed):
                function.__code__ = code

    def _by_function(self) -> dict[Any, list[Edit]]:
        edits: dict[Any, list[Edit]] = {}
        for edit in self.edits:
            edits.setdefault(inspect.unwrap(edit.function), []).append(edit)
        return edits


def _edited(function: FunctionType, edits: Iterable[Edit]) -> CodeType:
    """Return the code of the edited function, with the names that it takes from around it in their places."""
    lines, first_line = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    for edit in edits:
        if source.count(edit.old) != 1:
            raise ValueError(f"{edit.where} holds {source.count(edit.old)} times: {edit.old}")
        source = source.replace(edit.old, edit.new)
    tree = ast.parse(source)
    (definition,) = tree.body
    assert isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef))
    # Its decorators have done their work.
    definition.decorator_list = []
    around = ast.parse(f"def around({', '.join(function.__code__.co_freevars)}): pass").body[0]
    assert isinstance(around, ast.FunctionDef)
    around.body = [definition]
    tree.body = [around]
    ast.increment_lineno(tree, first_line - 1)
    flags = __future__.annotations.compiler_flag
    module = compile(ast.fix_missing_locations(tree), function.__code__.co_filename, "exec", flags, dont_inherit=True)
    around_code = _inner(module, "around")
    return _inner(around_code, function.__name__)


def _inner(code: CodeType, name: str) -> CodeType:
    (found,) = [each for each in code.co_consts if inspect.iscode(each) and each.co_name == name]
    return found
