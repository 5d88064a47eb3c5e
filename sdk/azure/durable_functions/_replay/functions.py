"""What user code passes where a function's name is expected: the name, or the decorated function itself.

Decorated functions are looked at by their shape, so that this module needs neither ``azure.functions`` nor the
decorators.
"""

from __future__ import annotations

import functools
import inspect
import typing
from typing import Any

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
    from azure.durable_functions._conversion import converter_for  # seldom needed

    return None if converter_for(annotation) is None else annotation
