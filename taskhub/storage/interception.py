"""A store with something put between every call and its execution; what counting and fault injection share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskhub.storage.port import BlobStore, QueueStore, Storage, TableStore


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the port."""

    service: str
    """``queue``, ``table`` or ``blob``."""
    method: str
    """The port's method."""
    target: str
    """The queue, table or container; a prefix for ``list_queues``."""
    arguments: tuple[Any, ...]
    """After the target, positional ones."""
    options: Mapping[str, Any]


class Around(Protocol):
    """What happens to a call."""

    async def __call__(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        """Return (or raise) what the caller gets; ``act`` carries the call out, each time it is called."""


def intercepted(storage: Storage, around: Around) -> Storage:
    """Return a store whose calls all go through ``around``. Closing it closes the inner one."""
    return replace(
        storage,
        queues=cast("QueueStore", _Intercepted("queue", storage.queues, around)),
        tables=cast("TableStore", _Intercepted("table", storage.tables, around)),
        blobs=cast("BlobStore", _Intercepted("blob", storage.blobs, around)),
    )


class _Intercepted:
    """Stands for one service; has the methods of what it wraps."""

    def __init__(self, service: str, inner: object, around: Around) -> None:
        self._service = service
        self._inner = inner
        self._around = around

    def __getattr__(self, method: str) -> Any:
        inner = getattr(self._inner, method)
        if method == "url_of":  # the one that asks nobody
            return inner

        async def call(target: str, *arguments: Any, **options: Any) -> Any:
            return await self._around(
                Call(self._service, method, target, arguments, options), lambda: inner(target, *arguments, **options)
            )

        # Found without this method from now on.
        setattr(self, method, call)
        return call
