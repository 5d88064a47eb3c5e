"""What takes the place of a user's function in a function app.

The Functions worker calls it with the bindings' names as keywords, and compares those names with its signature.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

from azure.durable_functions._client.blocking import SyncDurableFunctionsClient
from azure.durable_functions._client.newer_names import DurableFunctionsClient
from azure.durable_functions._typed_activities import annotations_of
from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient

if TYPE_CHECKING:
    from collections.abc import Callable


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
    call.__annotations__ = {**annotations_of(user_function), client_name: str}
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
    known = _named_client(annotations_of(user_function).get(client_name))
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
    annotations = annotations_of(function)
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
