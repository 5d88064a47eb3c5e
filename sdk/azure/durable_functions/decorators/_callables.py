"""What takes the place of a user's function in a function app.

The Functions worker calls it with the bindings' names as keywords, and compares those names with its signature.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import sys
import types
import typing
from typing import TYPE_CHECKING, Any

from azure.durable_functions._client.blocking import SyncDurableFunctionsClient
from azure.durable_functions._client.newer_names import DurableFunctionsClient
from azure.durable_functions._conversion import converter_for, plain
from azure.durable_functions._replay.payloads import undecodable
from azure.durable_functions.errors import PayloadDecodeError
from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.durable_functions._conversion import Convert


def renamed_handle(handle: Callable[[Any], str], user_function: Callable[..., Any], parameter: str) -> Any:
    """Return a handle whose one parameter has the binding's name, and that is named as the user's function.

    Args:
        handle: what ``Orchestrator.create`` or ``Entity.create`` made; its attributes are kept.
        user_function: gives name, module and documentation.
        parameter: name of the binding.
    """
    (own,) = inspect.signature(handle).parameters.values()
    if own.name != parameter:
        handle = _with_parameter(handle, own.replace(name=parameter))
    handle.__name__ = user_function.__name__
    handle.__module__ = user_function.__module__
    handle.__doc__ = user_function.__doc__
    return handle


def _with_parameter(handle: Callable[[Any], str], parameter: inspect.Parameter) -> Callable[..., str]:
    signature = inspect.signature(handle).replace(parameters=[parameter])

    def renamed(*arguments: Any, **keywords: Any) -> str:
        return handle(*signature.bind(*arguments, **keywords).arguments.values())

    renamed.__dict__.update(vars(handle))
    renamed.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it
    annotations = handle.__annotations__.items()
    renamed.__annotations__ = {key if key == "return" else parameter.name: value for key, value in annotations}
    return renamed


def with_types(user_function: Callable[..., Any], input_name: str) -> Callable[..., Any]:
    """Return what takes the place of an activity so that its annotations count; itself when there is nothing to do.

    The worker decodes the input and encodes the result as JSON's own types and classes with ``to_json``, whatever the
    annotations say. What annotations name beyond that (dataclasses, dates, models; see ``_conversion``) is made of the
    input before, and of the result after the call.

    Args:
        user_function: the activity.
        input_name: name of the binding and of the parameter that takes the input.
    """
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
    annotations = _annotations(user_function)
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
            hints = [_evaluated(self._function, name) for name in (self._input_name, "return")]
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
        return result if self._result[1] is None else plain(result)

    @functools.cached_property
    def _input(self) -> tuple[Any, Convert | None]:
        return self._look_up(self._input_name)

    @functools.cached_property
    def _result(self) -> tuple[Any, Convert | None]:
        return self._look_up("return")

    def _look_up(self, name: str) -> tuple[Any, Convert | None]:
        try:
            hint = _evaluated(self._function, name)
        except NameError:
            return None, None  # a class for type checkers only
        return hint, converter_for(hint)


def _evaluated(function: Callable[..., Any], name: str) -> Any:
    """Return one annotation; ``Any`` when there is none, or when evaluating it fails otherwise than for a name.

    Raises:
        NameError: it names something that is not there, or not yet.
    """
    annotations = _annotations(function)
    if name not in annotations:
        return Any
    alone = types.SimpleNamespace(__annotations__={name: annotations[name]})
    try:
        return typing.get_type_hints(alone, getattr(function, "__globals__", {}), include_extras=True)[name]
    except NameError:
        raise
    except Exception:  # whatever else comes of evaluating what users wrote: it names no type
        return Any


def with_client(user_function: Callable[..., Any], client_name: str) -> Callable[..., Any]:
    """Return the function that makes the client from the binding's text and calls the user's.

    Its attribute ``client_function`` is the user's function. The client's parameter is annotated ``str``, which is
    what the worker hands over; the others keep their annotations.

    Args:
        user_function: the user's function; plain and asynchronous ones are told apart through their decorators.
        client_name: name of the binding and of the user's parameter.
    """
    client_class = _client_class(user_function, client_name)

    def with_made_client(keywords: dict[str, Any]) -> dict[str, Any]:
        invocation_id = getattr(keywords.get("context"), "invocation_id", None)
        return {**keywords, client_name: client_class(keywords[client_name], invocation_id)}

    if client_class is SyncDurableFunctionsClient:
        call = _plain(user_function, with_made_client)
    else:
        call = _asynchronous(user_function, with_made_client)
    call.__annotations__ = {**_annotations(user_function), client_name: str}
    call.client_function = user_function  # type: ignore[attr-defined]  # where tests of apps find the user's function
    return call


def _asynchronous(user_function: Callable[..., Any], prepare: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    @functools.wraps(user_function)
    async def call(*arguments: Any, **keywords: Any) -> Any:
        returned = user_function(*arguments, **prepare(keywords))
        return await returned if inspect.isawaitable(returned) else returned

    return call


def _plain(user_function: Callable[..., Any], prepare: Callable[[dict[str, Any]], Any]) -> Callable[..., Any]:
    """Wrap for the worker's thread pool, so that a client that blocks blocks nobody else."""

    @functools.wraps(user_function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        returned = user_function(*arguments, **prepare(keywords))
        # An undecorated `def` may still return the coroutine of another function; a pool's thread has no loop.
        return asyncio.run(_awaited(returned)) if inspect.isawaitable(returned) else returned

    return call


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _client_class(
    user_function: Callable[..., Any], client_name: str
) -> type[DurableOrchestrationClient] | type[SyncDurableFunctionsClient]:
    """Choose the client: what the parameter is annotated with, otherwise what the function can use."""
    known = _named_client(_annotations(user_function).get(client_name))
    if known is not None:
        return SyncDurableFunctionsClient if known is SyncDurableFunctionsClient else DurableFunctionsClient
    if inspect.iscoroutinefunction(inspect.unwrap(user_function)):
        return DurableFunctionsClient
    return SyncDurableFunctionsClient


_CLIENTS = (SyncDurableFunctionsClient, DurableFunctionsClient, DurableOrchestrationClient)


def _named_client(annotation: Any) -> type | None:
    """Return the client class that an annotation names, as a class or as text."""
    wanted = annotation.strip("\"'").rpartition(".")[2] if isinstance(annotation, str) else annotation
    return next((known for known in _CLIENTS if wanted is known or wanted == known.__name__), None)


def client_parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that are annotated with a client class."""
    annotations = _annotations(function)
    return [name for name in annotations if name != "return" and _named_client(annotations[name]) is not None]


def only_client_parameter(function: Callable[..., Any]) -> str:
    """Return the name of the one parameter that is annotated with a client class.

    Raises:
        ValueError: there is none, or there are several.
    """
    names = client_parameters(function)
    if len(names) != 1:
        found = "none is" if not names else f"{' and '.join(names)} are"
        raise ValueError(
            f"durable_client_input() of {getattr(function, '__name__', function)!r} needs a client_name, or one "
            f"parameter annotated with DurableOrchestrationClient; {found}."
        )
    return names[0]


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's annotations; names that do not resolve are forward references (3.14 resolves on reading)."""
    if sys.version_info >= (3, 14):
        annotationlib = importlib.import_module("annotationlib")
        found: dict[str, Any] = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
        return found
    return dict(getattr(function, "__annotations__", {}))
