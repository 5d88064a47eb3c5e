"""How a function is called: which parameter gets what, and what becomes of what it returns.

Made once when the function is loaded, so that an invocation only converts and calls. Converters come from the registry
of the app's own ``azure.functions``, looked up after the app was imported: newer SDKs replace some of them.

Source: Azure Functions Python worker, functions.py and bindings/meta.py.
"""

from __future__ import annotations

import inspect
import json
import typing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import azure.functions as func
from azure.functions.meta import Datum

from taskhub.host.bindings import BindingError
from taskhub.host.extension_types import client_decoder, takes_web_request
from taskhub.host.functions import (
    ACTIVITY_TRIGGER,
    BLOB,
    BLOB_TRIGGER,
    DURABLE_CLIENTS,
    DURABLE_TRIGGERS,
    EVENT_GRID_TRIGGER,
    HTTP_TRIGGER,
    LISTENED_TRIGGERS,
    QUEUE_TRIGGER,
    STORED,
    WARMUP_TRIGGER,
    Binding,
    Direction,
)
from taskhub.host.outputs import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.host.functions import Function
    from taskhub.host.worker_extensions import InvocationHooks

RETURN = "$return"
INPUTS = frozenset(
    {HTTP_TRIGGER, WARMUP_TRIGGER, EVENT_GRID_TRIGGER, BLOB, *DURABLE_TRIGGERS, *LISTENED_TRIGGERS, *DURABLE_CLIENTS}
)  # fmt: skip
"""Types of triggers and input bindings that this host serves, in lower case."""

_PLAIN_TEXTS = frozenset({QUEUE_TRIGGER, BLOB_TRIGGER, BLOB})
"""Where an annotation says in which form a parameter wants its content."""


class EncodingFailed(Exception):
    """What a function gave cannot become an output."""


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter that gets data."""

    binding: Binding
    decode: Callable[[Datum, Mapping[str, Datum]], Any]
    is_client: bool = False
    """Whether the parameter gets a client of the service, and the host reads nothing for it."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a result goes."""

    binding: Binding
    encode: Callable[[Any], Datum]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """How to call one function."""

    function: Function
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    """Parameters that get an ``Out`` object."""
    result: Output | None
    """What becomes of the returned value; ``None``: nothing may be returned."""
    wants_context: bool
    is_async: bool
    stored_inputs: Mapping[str, Input]
    """Those of ``inputs`` that are read from storage before the call."""
    stored_outputs: Mapping[str, Output]
    """Those of ``outputs``, and the result under ``$return``, that are written to storage after it."""
    is_streamed: bool = False
    """Whether it takes the request of a web framework, and its answer goes out in parts."""
    hooks: InvocationHooks | None = None
    """Of worker extensions."""


def plan_call(function: Function, *, is_official: bool = False) -> CallPlan:
    """Compare a function's signature with its bindings.

    With our SDK annotations of activities count, also of those that its decorators have not seen.

    Args:
        function: as it was loaded.
        is_official: whether the app runs on the official SDK.

    Raises:
        BindingError: they do not agree, or a binding is of a type that this host does not serve.
    """
    _check_types(function)
    if function.trigger.kind == ACTIVITY_TRIGGER and not is_official:
        from azure.durable_functions.replay import typed_activity  # not there in the official SDK

        function = replace(function, call=typed_activity(function.call, function.trigger.name))
    parameters = dict(inspect.signature(function.call).parameters)
    hints = _hints(function)
    named = {binding.name: binding for binding in function.bindings if binding.name != RETURN}
    wants_context = "context" in parameters and "context" not in named
    _check_names(function, set(parameters) - ({"context"} if wants_context else set()), set(named))
    is_streamed = function.trigger.kind == HTTP_TRIGGER and takes_web_request(hints.get(function.trigger.name))
    inputs, outputs = {}, {}
    for name, binding in named.items():
        hint = hints.get(name)
        _check_direction(binding, hint)
        if binding.direction is Direction.IN:
            inputs[name] = _input(binding, hint, is_streamed=is_streamed)
        else:
            outputs[name] = Output(binding, _encoder(binding))
    result = _result(function)
    if is_streamed and result is not None:
        result = Output(result.binding, _web_answer)
    all_outputs = outputs if result is None else {**outputs, RETURN: result}
    return CallPlan(
        function=function,
        inputs=inputs,
        outputs=outputs,
        result=result,
        wants_context=wants_context,
        is_async=inspect.iscoroutinefunction(function.call),
        stored_inputs={name: each for name, each in inputs.items() if each.binding.kind in STORED},
        stored_outputs={name: each for name, each in all_outputs.items() if each.binding.kind in STORED},
        is_streamed=is_streamed,
    )


def _check_types(function: Function) -> None:
    for binding in function.bindings:
        if binding.kind not in INPUTS | OUTPUTS:
            raise BindingError(f"binding type '{binding.type}' is not supported by this host.")
        if binding.direction is Direction.INOUT:
            raise BindingError(f"binding '{binding.name}' has the direction inout, which Python functions cannot use.")
        if binding.kind not in (OUTPUTS if binding.direction is Direction.OUT else INPUTS):
            needed = "out" if binding.kind in OUTPUTS else "in"
            raise BindingError(f"binding '{binding.name}' of type '{binding.type}' must have the direction {needed}.")
        if binding.name == RETURN and binding.direction is not Direction.OUT:
            raise BindingError("binding '$return' must have the direction out.")


def _hints(function: Function) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function.call)
    except Exception as error:  # evaluates what users wrote, so anything can come out of it
        raise BindingError(f"its annotations cannot be evaluated: {type(error).__name__}: {error}") from error


def _check_names(function: Function, parameters: set[str], bindings: set[str]) -> None:
    only_python, only_bindings = sorted(parameters - bindings), sorted(bindings - parameters)
    if only_python or only_bindings:
        where = [
            *([f"parameters without a binding: {', '.join(only_python)}"] if only_python else []),
            *([f"bindings without a parameter: {', '.join(only_bindings)}"] if only_bindings else []),
        ]
        raise BindingError(f"cannot load the {function.name} function: {'; '.join(where)}. Give both the same names.")


def _check_direction(binding: Binding, hint: Any) -> None:
    is_out = _is_out(hint)
    if binding.direction is Direction.OUT and hint is not None and not is_out:
        raise BindingError(f"binding '{binding.name}' has the direction out, so its parameter must be a func.Out[...].")
    if binding.direction is Direction.IN and is_out:
        raise BindingError(f"binding '{binding.name}' has the direction in, but its parameter is a func.Out[...].")


def _is_out(hint: Any) -> bool:
    origin = typing.get_origin(hint) or hint
    return getattr(origin, "__name__", None) == "Out" and len(typing.get_args(hint)) == 1


def _result(function: Function) -> Output | None:
    declared = next((binding for binding in function.bindings if binding.name == RETURN), None)
    if declared is None and function.trigger.kind in DURABLE_TRIGGERS:
        declared = function.trigger
    return None if declared is None else Output(declared, _encoder(declared))


# ---- converters


def _converter(binding: Binding) -> Any:
    return func.get_binding_registry().get(binding.type)  # type: ignore[no-untyped-call]  # the library's


def _has_implicit_output(converter: Any) -> bool:
    return bool(getattr(converter, "has_implicit_output", lambda: False)())


def _input(binding: Binding, hint: Any, *, is_streamed: bool) -> Input:
    if is_streamed and binding.is_trigger:
        return Input(binding, _web_request)
    client = client_decoder(binding, hint)
    return Input(binding, _decoder(binding, hint)) if client is None else Input(binding, client, is_client=True)


def _decoder(binding: Binding, hint: Any) -> Callable[[Datum, Mapping[str, Datum]], Any]:
    converter = _converter(binding)
    if binding.kind in _PLAIN_TEXTS and hint in _PLAIN_FORMS:
        form = _PLAIN_FORMS[hint]
        return lambda datum, metadata: None if datum.value is None else form(datum.value)
    if converter is None or (hint in (str, bytes) and not _has_implicit_output(converter)):
        return lambda datum, metadata: _decode_plain(datum, binding)
    return lambda datum, metadata: converter.decode(datum, trigger_metadata=metadata)


WEB_REQUEST = "web_request"
"""Where the data of an HTTP trigger holds the request of a web framework."""


def _web_request(datum: Datum, metadata: Mapping[str, Datum]) -> Any:
    return datum.value[WEB_REQUEST]


def _web_answer(value: Any) -> Datum:
    return Datum(value, None)  # for the framework to make sense of


def _to_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _to_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


_PLAIN_FORMS: Mapping[Any, Callable[[Any], Any]] = {str: _to_text, bytes: _to_bytes, dict: json.loads, list: json.loads}


def _decode_plain(datum: Datum, binding: Binding) -> Any:
    if datum.type not in ("string", "bytes", "json", None):
        raise EncodingFailed(f"a value of type '{datum.type}' cannot be given to '{binding.name}' as text or bytes")
    return datum.value


def _encode_plain(value: Any, binding: Binding) -> Datum:
    """Encode for a binding that the library knows nothing of, as the original worker does."""
    if isinstance(value, str):
        return Datum(value, "string")
    if isinstance(value, (bytes, bytearray)):
        return Datum(bytes(value), "bytes")
    if isinstance(value, (dict, list, bool, int, float)):
        return Datum(json.dumps(value), "json")
    raise EncodingFailed(
        f'unable to encode outgoing TypedData: unsupported type "{binding.type}" for Python type '
        f'"{type(value).__name__}"'
    )


def _encoder(binding: Binding) -> Callable[[Any], Datum]:
    converter = _converter(binding)

    def encode(value: Any) -> Datum:
        if converter is None:
            return _encode_plain(value, binding)
        try:
            datum: Datum = converter.encode(value, expected_type=None)
        except NotImplementedError as error:
            raise EncodingFailed(
                f'unable to encode outgoing TypedData: unsupported type "{binding.type}" for Python type '
                f'"{type(value).__name__}"'
            ) from error
        return datum

    return encode
