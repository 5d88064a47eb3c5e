"""Activities whose annotations count: what takes the place of the user's function.

Used by the decorator, by ``Activity.create``, and by our own host for activities of ``function.json``, which no code of
this package sees before they are called.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.payloads import undecodable
from azure.durable_functions._serialization import converter_for
from azure.durable_functions.errors import PayloadDecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.durable_functions._conversion import Convert


def with_types(user_function: Callable[..., Any], input_name: str) -> Callable[..., Any]:
    """Return what takes the place of an activity so that its annotations count; itself when there is nothing to do.

    The worker decodes the input and encodes the result as JSON's own types and classes with ``to_json``, whatever the
    annotations say. What annotations name beyond that (dataclasses, dates, models; see ``_conversion``) is made of the
    input before, and of the result after the call.

    Args:
        user_function: the activity.
        input_name: name of the binding and of the parameter that takes the input.
    """
    if hasattr(user_function, "activity_function"):
        return user_function  # done already
    promised = _Types(user_function, input_name)
    if promised.is_nothing_to_do():
        return user_function

    if inspect.iscoroutinefunction(user_function):

        @functools.wraps(user_function)
        async def call_async(*arguments: Any, **keywords: Any) -> Any:
            return promised.plain_result(await user_function(*arguments, **promised.converted(keywords)))

        call = call_async
    else:

        @functools.wraps(user_function)
        def call_plain(*arguments: Any, **keywords: Any) -> Any:
            return promised.plain_result(user_function(*arguments, **promised.converted(keywords)))

        call = call_plain
    # The worker refuses annotations that are no classes, and has no use for these.
    annotations = annotations_of(user_function)
    call.__annotations__ = {key: value for key, value in annotations.items() if key not in (input_name, "return")}
    call.activity_function = user_function  # type: ignore[attr-defined]  # where tests of apps find the user's function
    return call


class _Types:
    """What an activity's annotations say; looked at when they can be evaluated, which may be at the first call."""

    def __init__(self, user_function: Callable[..., Any], input_name: str) -> None:
        self._function = inspect.unwrap(user_function)
        self._input_name = input_name

    def is_nothing_to_do(self) -> bool:
        """Return whether the worker does all that the annotations ask for."""
        try:
            hints = [evaluated(self._function, name) for name in (self._input_name, "return")]
        except NameError:
            return False  # a class that the module defines further down
        return all(converter_for(hint) is None for hint in hints)

    def converted(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """Return a call's arguments with the input as annotated.

        Raises:
            PayloadDecodeError: it is something else.
        """
        hint, convert = self._input
        if convert is None or self._input_name not in keywords:
            return keywords
        value = keywords[self._input_name]
        try:
            return {**keywords, self._input_name: convert(value, "")}
        except PayloadDecodeError as error:
            field = f"input of activity {self._function.__name__!r}"
            raise undecodable(field, value, hint, error) from error

    def plain_result(self, result: Any) -> Any:
        """Return a result as the worker can encode it."""
        if self._result[1] is None:
            return result
        from azure.durable_functions._conversion import plain  # loaded: the annotation needed it

        return plain(result)

    @functools.cached_property
    def _input(self) -> tuple[Any, Convert | None]:
        return self._look_up(self._input_name)

    @functools.cached_property
    def _result(self) -> tuple[Any, Convert | None]:
        return self._look_up("return")

    def _look_up(self, name: str) -> tuple[Any, Convert | None]:
        try:
            hint = evaluated(self._function, name)
        except NameError:
            return None, None  # a class for type checkers only
        return hint, converter_for(hint)


def evaluated(function: Callable[..., Any], name: str) -> Any:
    """Return one annotation; ``Any`` when there is none, or when evaluating it fails otherwise than for a name.

    Raises:
        NameError: it names something that is not there, or not yet.
    """
    annotations = annotations_of(function)
    if name not in annotations:
        return Any
    alone = types.SimpleNamespace(__annotations__={name: annotations[name]})
    try:
        return typing.get_type_hints(alone, getattr(function, "__globals__", {}), include_extras=True)[name]
    except NameError:
        raise
    except Exception:  # whatever else comes of evaluating what users wrote: it names no type
        return Any


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's annotations; names that do not resolve are forward references (3.14 resolves on reading)."""
    if sys.version_info >= (3, 14):
        annotationlib = importlib.import_module("annotationlib")
        found: dict[str, Any] = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
        return found
    return dict(getattr(function, "__annotations__", {}))
