"""Stands between a process and its store: notes calls, and does to some of them what a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.errors import TransientStorageError
from taskhub.storage.interception import intercepted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskhub.storage.interception import Call
    from taskhub.storage.port import Storage

    Act = Callable[[], Awaitable[Any]]
    Action = Callable[[Call, Act], Awaitable[Any]]


class Script:
    """See the module; :meth:`wrap` is what a process is given."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """Method and target, without the hub's name."""
        self.rules: list[list[Any]] = []

    def on(self, method: str, target: str, action: Action, times: int = 1) -> None:
        """Let ``action(call, act)`` happen instead of a call, so many times."""
        self.rules.append([method, target, action, times])

    def wrap(self, storage: Storage) -> Storage:
        """Return the store as the process sees it."""
        return intercepted(storage, self._around)

    async def _around(self, call: Call, act: Act) -> Any:
        name = f"{call.method} {call.target.split('-', 1)[-1].removeprefix('TestHub')}"
        self.calls.append(name)
        for rule in self.rules:
            method, target, action, times = rule
            if times and method == call.method and target in call.target:
                rule[3] -= 1
                return await action(call, act)
        return await act()


async def lose_reply(call: Call, act: Act) -> Any:
    """Act, and do not say so."""
    await act()
    raise TransientStorageError("the reply was lost")


async def fail(call: Call, act: Act) -> Any:
    """Do not act."""
    raise TransientStorageError("unreachable")
