"""What is missing in the docstrings of a public surface."""

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

_SECTION = re.compile(r"(?m)^(Args|Returns|Yields|Raises|Attributes):\n((?:[ \t]+.*(?:\n|$)|\n)+)")
_SEE = re.compile(r"(?i)\b(?:see|as|call|unlike) (?:the method of )?:(?:meth|class|func):`([\w.]+)`")
_SAYS_WHAT_IT_RETURNS = re.compile(r"\A(Return|Whether|Make)\b|\b[Rr]eturns? |`None`` when")

SELF_EVIDENT = frozenset({"instance_id", "context", "json_obj", "json_string", "value"})
"""Parameters whose name says all that there is to say."""


class Surface:
    """The public names of some modules, and what is missing in their docstrings.

    Args:
        modules: modules with ``__all__``.
        packages: only members that are defined in these are looked at; what is inherited from others is theirs.
    """

    def __init__(self, modules: list[ModuleType], packages: tuple[str, ...]) -> None:
        self._packages = packages
        self._names = {name: getattr(module, name) for module in modules for name in module.__all__}

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Walk over every public class and function, and every public member of the classes."""
        for name, value in self._names.items():
            if inspect.isclass(value) or inspect.isfunction(value):
                yield name, value
            if inspect.isclass(value):
                yield from self._members(name, value)

    def _members(self, name: str, cls: type) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for base in cls.__mro__:
            if not base.__module__.startswith(self._packages):
                continue
            for member_name, member in vars(base).items():
                is_member = isinstance(member, (FunctionType, classmethod, staticmethod, property))
                if is_member and not member_name.startswith("_") and member_name not in seen:
                    seen.add(member_name)
                    yield f"{name}.{member_name}", member

    def gaps(self, name: str, value: Any) -> list[str]:
        """Return what the docstring of a public thing does not say."""
        text = inspect.getdoc(value) if not inspect.isclass(value) else vars(value).get("__doc__")
        if not text:
            return ["no docstring"]
        text = inspect.cleandoc(text)
        if isinstance(value, property):
            return []
        if dataclasses.is_dataclass(value):
            return [f"field {each}" for each in _undocumented_fields(value, text)]
        function = getattr(value, "__func__", value)
        if inspect.isclass(value):
            function = vars(value).get("__init__")
            if not isinstance(function, FunctionType):
                return []  # made by a decorator, or as its base is
        known = "\n".join([text, *self._referred(name, text), *_of_bases(value)])
        return [
            *(f"parameter {each}" for each in _parameters(function) if not _tells_of(known, each)),
            *([] if inspect.isclass(value) or _tells_result(value, function, known) else ["what it returns"]),
            *(f"raises {each}" for each in _raised(function) if each not in _section(known, "Raises")),
        ]

    def _referred(self, name: str, text: str) -> Iterator[str]:
        """Return the docstrings that a docstring sends its reader to, or complain of one that is not there."""
        owner = name.partition(".")[0]
        for reference in _SEE.findall(text):
            *path, last = reference.split(".")
            cls = self._names.get(path[-1]) if path else self._names.get(owner)
            found = self._names.get(last) or getattr(cls, last, None)
            if found is None:
                raise LookupError(f"{name} refers to {reference}, which is not public")
            other = inspect.getdoc(getattr(found, name.partition(".")[2], found)) or ""
            yield other
            yield from self._referred(reference if path else f"{owner}.{last}", other)


def _of_bases(value: Any) -> list[str]:
    """Return the docstrings that an exception class goes on from: every exception has a message."""
    if not (inspect.isclass(value) and issubclass(value, BaseException)):
        return []
    return ["``message``", *(inspect.getdoc(base) or "" for base in value.__mro__[1:])]


def _undocumented_fields(cls: Any, text: str) -> list[str]:
    """Return the fields of a dataclass that neither a string below them nor the class's own docstring explains."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    explained = set()
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            explained.add(field.target.id)
    return [
        field.name
        for field in dataclasses.fields(cls)
        if field.name not in explained | SELF_EVIDENT and not _tells_of(text, field.name)
    ]


def _parameters(function: FunctionType) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.name not in {"self", "cls"} | SELF_EVIDENT and each.name[0] != "_"]


def _tells_of(text: str, parameter: str) -> bool:
    """Return whether a parameter has an entry, or stands in the text as code."""
    entries = _section(text, "Args") + _section(text, "Attributes")
    entry = re.search(rf"(?m)^\s+\**{re.escape(parameter)}:", entries)
    return entry is not None or f"``{parameter}``" in text


def _tells_result(value: Any, function: FunctionType, text: str) -> bool:
    annotation = function.__annotations__.get("return")
    if annotation in (None, "None"):
        return True
    if isinstance(value, classmethod) and annotation == function.__qualname__.partition(".")[0]:
        return True  # another way to make one
    return any(_section(text, name) for name in ("Returns", "Yields")) or bool(_SAYS_WHAT_IT_RETURNS.search(text))


def _section(text: str, name: str) -> str:
    return "".join(body for title, body in _SECTION.findall(text) if title == name)


def _raised(function: FunctionType) -> list[str]:
    """Return the names of the exceptions that a function's own code raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    own = [node for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    names = []
    for node in own:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if isinstance(raised, ast.Name) and raised.id[0].isupper():
            names.append(raised.id)
    return sorted(set(names))
