"""Finding the type of a result from the annotations of a decorated function."""

from __future__ import annotations

from azure.durable_functions._replay.functions import promised_class


def activity_output_type(name_or_callable: object) -> type | None:
    """Return the class that an activity is annotated to return.

    Args:
        name_or_callable: what was given to ``call_activity``: a name, or a function under ``@app.activity_trigger``.

    Returns:
        The class, ``NoneType`` for ``-> None``; ``None`` for a name, without annotation, or for generic types.
    """
    return _promised(name_or_callable)


def sub_orchestrator_output_type(name_or_callable: object) -> type | None:
    """Return the class that an orchestrator is annotated to return.

    Looks at the user's function, not at the handle around it, which always returns text.

    Args:
        name_or_callable: what was given to ``call_sub_orchestrator``: a name, or a function under
            ``@app.orchestration_trigger``.

    Returns:
        As for :func:`activity_output_type`.
    """
    return _promised(name_or_callable)


def _promised(decorated: object) -> type | None:
    function = getattr(getattr(decorated, "_function", None), "_func", None)
    return None if function is None else promised_class(function)
