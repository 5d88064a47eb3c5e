"""Describe the public surface of the installed ``azure.durable_functions``: facts only, as JSON on standard output.

Usage: $(scripts/reference-env) tests/conformance/sdk/record_surface.py > tests/conformance/sdk/surface-1.7.0.json

Run by the reference interpreter it records what ``test_surface.py`` compares with ours; run by ours it shows ours.
Recorded: module paths, the names that a module defines or a package re-exports, signatures with defaults, properties,
enum values, constants. Not recorded: annotations, texts, what a module merely imports for itself, anything private
(but for the few names that tools wrap, see ``WRAPPED``).
"""

import contextlib
import enum
import importlib
import inspect
import io
import json
import pkgutil
import sys
import warnings

PACKAGE = "azure.durable_functions"

# Needs the packages `agents` and `openai`, is optional, and its modules print and register things when imported.
SKIPPED = (PACKAGE + ".openai_agents",)

# Private, but wrapped or replaced by tools and tests of others (sdk.md 1.2).
WRAPPED = {"_get_current_activity_context", "post_async_request", "get_async_request", "delete_async_request"}

PROTOCOL = {"__eq__", "__hash__", "__str__", "__repr__", "__bool__", "__lt__"}


def describe():
    package = importlib.import_module(PACKAGE)
    modules = {PACKAGE: describe_module(package)}
    for info in sorted(pkgutil.walk_packages(package.__path__, PACKAGE + "."), key=lambda info: info.name):
        if any(info.name == name or info.name.startswith(name + ".") for name in SKIPPED):
            continue
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        modules[info.name] = describe_module(importlib.import_module(info.name))
    return {"all": [name for name in package.__all__ if name != "openai_agents"], "modules": modules}


def describe_module(module):
    names = {}
    for name, value in sorted(vars(module).items()):
        if not name.startswith("_") and not inspect.ismodule(value) and is_offered(name, value, module):
            is_own = getattr(value, "__module__", None) == module.__name__
            names[name] = describe_value(value, in_full=is_own or not inspect.isclass(value))
    return names


def is_offered(name, value, module):
    """Tell what a module offers from what it imports for its own use."""
    owner = getattr(value, "__module__", None) or ""
    if inspect.isclass(value) or inspect.isroutine(value):
        passes_on = hasattr(module, "__path__") or name in WRAPPED or module.__name__.endswith(".df_serialization")
        return owner == module.__name__ or (passes_on and owner.startswith("azure."))
    return isinstance(value, (str, int, float, bool)) and module.__name__ == PACKAGE + ".constants"


def describe_value(value, *, in_full):
    if inspect.isclass(value):
        return describe_class(value) if in_full else {"kind": "class", "of": value.__name__}
    if inspect.isroutine(value):
        return {"kind": "function", "signature": signature(value)}
    return {"kind": "constant", "value": value}


def describe_class(cls):
    if issubclass(cls, enum.Enum):
        return {"kind": "enum", "values": {member.name: member.value for member in cls}}
    init = ["self"] if cls.__init__ is object.__init__ else signature(cls.__init__)
    found = {"kind": "class", "bases": [base.__name__ for base in cls.__mro__[1:-1]], "init": init}
    members = {}
    for owner in reversed(cls.__mro__[:-1]):
        if not owner.__module__.startswith(PACKAGE):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") and name not in PROTOCOL | WRAPPED:
                continue
            members[name] = describe_member(member)
    found["members"] = dict(sorted(members.items()))
    return found


def describe_member(member):
    if isinstance(member, property):
        return {"kind": "property", "settable": member.fset is not None}
    if isinstance(member, staticmethod):
        return {"kind": "static", "signature": signature(member.__func__)}
    if isinstance(member, classmethod):
        return {"kind": "class method", "signature": signature(member.__func__)}
    if inspect.isfunction(member):
        kind = "async method" if inspect.iscoroutinefunction(member) else "method"
        return {"kind": kind, "signature": signature(member)}
    return {"kind": "attribute"}


def signature(function):
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [describe_parameter(parameter) for parameter in parameters]


def describe_parameter(parameter):
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    text = stars.get(parameter.kind, "") + parameter.name
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        text = "(keyword) " + text
    if parameter.default is not inspect.Parameter.empty:
        default = parameter.default
        shown = f"{type(default).__name__}.{default.name}" if isinstance(default, enum.Enum) else repr(default)
        text += "=" + (shown if " at 0x" not in shown else "...")
    return text


if __name__ == "__main__":
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        surface = describe()
    json.dump(surface, sys.stdout, indent=1)
    sys.stdout.write("\n")
