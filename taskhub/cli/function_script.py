"""PURE: adds functions to a ``function_app.py`` or to a module with a blueprint, whatever else stands in it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

_MODULES = {"func": "azure.functions", "df": "azure.durable_functions", "json": "json", "logging": "logging"}
"""Names that templates use, and what they stand for."""
_STANDARD = ("import json", "import logging")
_APPS = ("FunctionApp", "DFApp")
_DURABLE = ("DFApp",)
_BLUEPRINT = "Blueprint"


class ScriptError(Exception):
    """A script is not one that can be added to; the message names the reason and the fix."""


@dataclass(frozen=True, slots=True)
class Script:
    """What counts in the source of a module."""

    text: str
    app: str | None
    """Name of the object whose decorators make functions."""
    is_durable: bool
    """Whether that object has the decorators of durable functions."""
    bound: dict[str, str]
    """Names of modules: ``func`` → ``azure.functions``; all other names of the module → ''."""
    functions: frozenset[str]
    """Names of its functions for the host, lower-case."""


def read_script(text: str, file_name: str, *, of_blueprint: bool = False) -> Script:
    """Return what counts in a source.

    Args:
        text: the source.
        file_name: for messages.
        of_blueprint: look for a blueprint rather than for an app.

    Raises:
        ScriptError: it is no Python, or has two such objects.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ScriptError(f"{file_name} is no valid Python: {error.msg}. Correct line {error.lineno} first.") from error
    bound: dict[str, str] = {}
    apps: list[tuple[str, str, str]] = []
    functions: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            bound.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound[node.name] = ""
            functions.update(_names_of(node))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            for name in _targets(node):
                bound[name] = ""
                made = _made_by(node.value)
                if made is not None:
                    apps.append((name, *made))
    wanted = (_BLUEPRINT,) if of_blueprint else _APPS
    found = [(name, module, kind) for name, module, kind in apps if kind in wanted]
    if len(found) > 1:
        names = ", ".join(name for name, _, _ in found)
        raise ScriptError(
            f"{file_name} has several of {' and '.join(wanted)} ({names}); say --file to use another file."
        )
    if not found:
        return Script(text, None, False, bound, frozenset(functions))
    ((app, module, kind),) = found
    origin = bound.get(module, bound.get(kind, ""))
    is_durable = kind in _DURABLE or origin.startswith("azure.durable_functions")
    return Script(text, app, is_durable, bound, frozenset(functions))


def with_functions(script: Script, sources: list[str], file_name: str) -> str:
    """Return the source of a module with more functions at its end, and the imports that they need.

    Raises:
        ScriptError: a name that they need stands for something else.
    """
    needed = sorted({name for source in sources for name in _used(source)} & _MODULES.keys())
    lines = []
    for name in needed:
        module = _MODULES[name]
        known = script.bound.get(name)
        if known is None:
            lines.append(f"import {module}" if module == name else f"import {module} as {name}")
        elif known != module:
            raise ScriptError(
                f"In {file_name} the name '{name}' is not {module}, as the template has it; say --file OTHER.py to put "
                "the function into a file of its own."
            )
    text = _with_imports(script.text, lines)
    return "\n\n\n".join(part.strip("\n") for part in (text, *sources) if part.strip()) + "\n"


def with_blueprint(script: Script, module: str, blueprint: str) -> str:
    """Return the source of the app with the functions of a blueprint registered."""
    text = _with_imports(script.text, [] if module in script.bound else [f"import {module}"])
    return f"{text.rstrip()}\n\n{script.app}.register_functions({module}.{blueprint})\n"


def _with_imports(text: str, lines: list[str]) -> str:
    """Return a source with imports: the standard library first, others after the last."""
    if not lines:
        return text
    body = ast.parse(text).body
    written = text.splitlines()
    imports = [node for node in body if isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_future(node)]
    standard = [line for line in lines if line in _STANDARD]
    others = [line for line in lines if line not in _STANDARD]
    if not imports:
        top = [node for node in body[:1] if _is_docstring(node)] + [node for node in body if _is_future(node)]
        at = max((node.end_lineno or 0 for node in top), default=0)
        gap = [""] if standard and others else []
        written[at:at] = [*([""] if at else []), *standard, *gap, *others, *([] if at else [""])]
        return "\n".join(written) + "\n"
    last = imports[-1].end_lineno or 0
    written[last:last] = others
    first = imports[0].lineno - 1
    written[first:first] = [*standard, *([""] if standard and _is_of_azure(imports[0]) else [])]
    return "\n".join(written) + "\n"


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _is_of_azure(node: ast.Import | ast.ImportFrom) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return any(name.partition(".")[0] == "azure" for name in names)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _made_by(value: ast.expr | None) -> tuple[str, str] | None:
    """Return of ``module.Class(…)`` both names; of ``Class(…)`` no module."""
    if not isinstance(value, ast.Call):
        return None
    if isinstance(value.func, ast.Attribute) and isinstance(value.func.value, ast.Name):
        return value.func.value.id, value.func.attr
    return ("", value.func.id) if isinstance(value.func, ast.Name) else None


def _names_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    if not node.decorator_list:
        return set()
    names = {node.name.lower()}
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
            given = [*decorator.args, *(keyword.value for keyword in decorator.keywords)]
            if decorator.func.attr == "function_name":
                names |= {str(each.value).lower() for each in given if isinstance(each, ast.Constant)}
    return names


def _used(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
