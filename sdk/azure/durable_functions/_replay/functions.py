"""What user code passes where a function's name is expected: the name, or the decorated function itself.

Decorated functions are looked at by their shape, so that this module needs neither ``azure.functions`` nor the
decorators.
"""

from __future__ import annotations

import functools
import inspect
import typing
from typing import TYPE_CHECKING, Any, Generic

from azure.durable_functions._replay.typevars import R_co
from azure.durable_functions._serialization import converter_for
from azure.durable_functions.errors import FunctionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from azure.durable_functions.errors import TaskKind

_KINDS = {
    "activity": ("activityTrigger", "an activity"),
    "orchestrator": ("orchestrationTrigger", "an orchestrator"),
    "entity": ("entityTrigger", "an entity"),
}
_OVERRIDES = {"activityTrigger": "activity", "orchestrationTrigger": "orchestration", "entityTrigger": "entity_name"}


class ActivityFunction(Generic[R_co]):
    """A function under ``@activity_trigger``, to type checkers: what ``context.call_activity`` takes beside names.

    At run time it is a builder of ``azure.functions``. ``R_co`` is what calling the function returns, for ``async def``
    a coroutine.
    """


class OrchestratorFunction(Generic[R_co]):
    """A function under ``@orchestration_trigger``, to type checkers: what can be started in the place of a name.

    At run time it is a builder of ``azure.functions``. ``R_co`` is what calling the function returns: a generator, a
    coroutine, or the output itself.
    """


class AppFunctions:
    """Which functions an app has, once that is known: when the worker has asked for them all.

    A host of the JSON protocol says nothing when an orchestrator calls a function that does not exist, and the instance
    waits for ever. Activities, orchestrators and entities are always functions of the same app, so that a call can be
    refused where it is made.
    """

    def __init__(self) -> None:
        self._names: dict[str, dict[str, str]] | None = None

    @property
    def is_known(self) -> bool:
        """Whether :meth:`tell` was called."""
        return self._names is not None

    def tell(self, functions: Iterable[Any]) -> None:
        """Take the functions of the app: objects of ``azure.functions``."""
        names: dict[str, dict[str, str]] = {trigger: {} for trigger in _OVERRIDES}
        for function in functions:
            trigger = function.get_trigger()
            kind = getattr(trigger, "type", None)
            if kind in names:
                name = getattr(trigger, _OVERRIDES[kind], None) or function.get_function_name()
                names[kind][name.lower()] = name
        self._names = names

    def require(self, kind: str, name: Any) -> None:
        """Refuse a name that no function of a kind has; case does not count.

        Raises:
            FunctionNotFoundError: there is none; the error tells those that exist.
        """
        if self._names is None or not isinstance(name, str) or not name:
            return
        trigger, noun = _KINDS[kind]
        known = self._names[trigger]
        if name.lower() not in known:
            raise _not_found(name, kind, noun, list(known.values()))


def known_functions(handle: Any) -> AppFunctions | None:
    """Return the functions of the app that an orchestrator belongs to, if they are known."""
    functions: AppFunctions | None = getattr(handle, "_df_functions", None)
    return functions if isinstance(functions, AppFunctions) and functions.is_known else None


def _not_found(name: str, kind: str, noun: str, known: list[str]) -> FunctionNotFoundError:
    # As the Durable Task extension says it, where it does.
    text = f"The function '{name}' doesn't exist, is disabled, or is not {noun} function. Additional info: "
    if known:
        text += f"The following are the known {kind} functions: {', '.join(map(repr, known))}."
    else:
        text += f"No {kind} functions are currently registered!"
    import difflib  # for the mistake only

    close = difflib.get_close_matches(name, known, n=1)
    if close:
        text += f" Did you mean {close[0]!r}?"
    task_kind: TaskKind = "orchestration" if kind == "orchestrator" else kind  # type: ignore[assignment]  # the others
    return FunctionNotFoundError(text, kind=task_kind, name=name, known=known)


_ACTIVITY = ("activityTrigger", "ActivityTrigger", "activity")
_ORCHESTRATOR = ("orchestrationTrigger", "OrchestrationTrigger", "orchestration")


def resolve_activity(function: Any) -> tuple[str, Any]:
    """Return the name of an activity and the class that its annotation promises, if it promises a plain one.

    Raises:
        ValueError: not a name, and not a function with an activity trigger.
    """
    return _resolve(function, *_ACTIVITY)


def resolve_orchestrator(function: Any) -> tuple[str, Any]:
    """Return the name of an orchestrator and the class that its annotation promises, if it promises a plain one.

    Raises:
        ValueError: not a name, and not a function with an orchestration trigger.
    """
    return _resolve(function, *_ORCHESTRATOR)


def _resolve(function: Any, trigger_type: str, trigger_class: str, override: str) -> tuple[str, Any]:
    if not callable(function) and not hasattr(function, "_function"):
        return function, None
    decorated = getattr(function, "_function", None)
    trigger = getattr(decorated, "_trigger", None)
    if decorated is None or trigger is None:
        # One text for all calls, as in the reference, its missing blank included.
        raise ValueError(
            "The `call_activity` API received a `Callable` without an associated Azure Functions trigger-type. "
            "Please ensure you're using the Python programming model V2 and that your activity function is annotated "
            "with the `activity_trigger`decorator. Otherwise, provide in the name of the activity as a string."
        )
    if trigger.type != trigger_type:
        raise ValueError(
            f"Received function with Trigger-type `{trigger.type}` but expected `{trigger_class}`. Ensure your "
            f"function is annotated with the `{trigger_class}` decorator or directly pass in the name of the function "
            "as a string."
        )
    # The name that the trigger overrides is the one that the host knows.
    name = getattr(trigger, override, None) or decorated._name
    return name, promised_class(decorated._func)


@functools.lru_cache(maxsize=1024)
def promised_class(function: Any) -> Any:
    """Return a function's return annotation if that says how to decode; ``None`` promises ``NoneType``.

    That is a plain class, or a generic type with something in it that is made from plain JSON: ``list[Order]``. An
    orchestrator's handle stands for the user's function, which is its ``orchestrator_function``.
    """
    function = inspect.unwrap(getattr(function, "orchestrator_function", function))
    try:
        annotation = typing.get_type_hints(function).get("return", inspect.Parameter.empty)
    except Exception:  # annotations that cannot be evaluated promise nothing
        return None
    if annotation is inspect.Parameter.empty:
        return None
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation
    return None if converter_for(annotation) is None else annotation
