"""The message classes of the protocol, which are the app's: its SDK depends on the library that has them.

So the task hub needs neither protobuf nor gRPC of its own, and nothing here is imported before an app turns out to run
on such an SDK. Messages are made from plain mappings, as their constructors take them, which keeps what is decided
about them apart from the classes.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import sys
from typing import Any

from taskhub.errors import ConfigurationError

_MESSAGES = "durabletask.internal.orchestrator_service_pb2"
_GRPC = "grpc"


class Undecodable(Exception):
    """A text is not what it should be."""


def load_messages() -> Any:
    """Return the module with the message classes.

    Raises:
        ConfigurationError: the environment lacks it.
    """
    return _load(_MESSAGES, "durabletask")


def encode(message: Any) -> str:
    """Return a message as triggers receive it: base64."""
    return base64.b64encode(message.SerializeToString()).decode()


def decode(kind: Any, text: str | None) -> Any:
    """Return a message that a trigger answered.

    Args:
        kind: its class.
        text: base64.

    Raises:
        Undecodable: it is no such message.
    """
    broken = importlib.import_module("google.protobuf.message").DecodeError
    try:
        return kind.FromString(base64.b64decode(text or "", validate=True))
    except (binascii.Error, broken) as error:
        raise Undecodable(f"The answer of the function is no {kind.DESCRIPTOR.name} in base64: {error}") from error


def load_grpc() -> Any:
    """Return the gRPC library.

    Raises:
        ConfigurationError: the environment lacks it.
    """
    return _load(_GRPC, "grpcio")


def _load(module: str, distribution: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"azure-functions-durable 2 needs {distribution}, which this environment lacks or cannot load ({error}). "
            f"Install what it depends on: {sys.executable} -m pip install --pre --upgrade azure-functions-durable"
        ) from error
