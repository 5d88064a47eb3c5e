"""What user code can ask about its own invocation, and what logs are told apart by."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import azure.functions as func

if TYPE_CHECKING:
    from pathlib import Path

THREAD_LOCAL = threading.local()
"""Threads that user code starts may set ``invocation_id`` here, so that their log lines find their function."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of one function."""

    id: str
    function: str


CURRENT: ContextVar[Invocation | None] = ContextVar("taskhub_invocation", default=None)
"""The invocation that the running code belongs to."""

RUNNING: dict[str, Invocation] = {}
"""Invocations by id, while they run; only for threads that name one in ``THREAD_LOCAL``."""


def current_invocation() -> Invocation | None:
    """Return the invocation of the calling code, ``None`` outside of functions."""
    return CURRENT.get() or RUNNING.get(getattr(THREAD_LOCAL, "invocation_id", ""))


class Out(func.Out[Any]):
    """What an output parameter gets."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        """Set the value that the binding receives."""
        self._value = val

    def get(self) -> Any:
        """Return what was set, ``None`` when nothing was."""
        return self._value


@dataclass(slots=True)
class TraceContext:
    """W3C trace context; old names in capitals are kept for old apps."""

    trace_parent: str = ""
    trace_state: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def Traceparent(self) -> str:
        """The same as ``trace_parent``."""
        return self.trace_parent

    @property
    def Tracestate(self) -> str:
        """The same as ``trace_state``."""
        return self.trace_state

    @property
    def Attributes(self) -> dict[str, str]:
        """The same as ``attributes``."""
        return self.attributes


@dataclass(slots=True)
class RetryContext:
    """Functions with a retry policy learn here which attempt they are."""

    retry_count: int = 0
    max_retry_count: int = 0
    exception: Any = None


class Context(func.Context):
    """What a parameter called ``context`` gets."""

    def __init__(
        self, invocation: Invocation, directory: Path, trace: TraceContext, retry: RetryContext | None = None
    ) -> None:
        self._invocation = invocation
        self._directory = directory
        self._trace = trace
        self._retry = retry or RetryContext()

    @property
    def invocation_id(self) -> str:
        """Id of this run."""
        return self._invocation.id

    @property
    def thread_local_storage(self) -> Any:
        """Where threads of user code put ``invocation_id``."""
        return THREAD_LOCAL

    @property
    def function_name(self) -> str:
        """Name of the function."""
        return self._invocation.function

    @property
    def function_directory(self) -> str:
        """Folder of the function (v1) or of its file (v2)."""
        return str(self._directory)

    @property
    def trace_context(self) -> Any:
        """W3C trace context of the trigger."""
        return self._trace

    @property
    def retry_context(self) -> Any:
        """Attempts, for functions with a retry policy."""
        return self._retry
