"""What stands in the place of activities, sub-orchestrations and the network."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Union

from azure.durable_functions.testing.errors import DurableWorldError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.host.http_calls import HttpCall
    from taskhub.simulation.app import CallKey, Responder

HttpReply = Union[int, tuple[int, Any], tuple[int, Any, Mapping[str, str]]]  # noqa: UP007 (a runtime alias on 3.10)


class Fake:
    """One fake; see :meth:`azure.durable_functions.testing.world.DurableWorld.fake`."""

    def __init__(
        self,
        name: str,
        *,
        by: Callable[[Any], Any] | None,
        returns: Any,
        raises: BaseException | type[BaseException] | None,
        in_turn: Sequence[Any] | None,
        current_call: Callable[[], CallKey],
    ) -> None:
        self._name = name
        self._by = by
        self._returns = returns
        self._raises = raises
        self._in_turn = in_turn
        self._current_call = current_call
        self._turns: dict[CallKey, int] = {}

    def __repr__(self) -> str:
        return f"<Fake of {self._name}>"

    def as_function(self) -> Callable[[Any], Any]:
        """Return the function of the input."""
        if self._by is not None:
            return self._by
        return self._answer

    def _answer(self, _: Any) -> Any:
        if self._raises is not None:
            raise self._raises
        if self._in_turn is None:
            return self._returns
        turn = self._turns.setdefault(self._current_call(), len(self._turns))
        if turn >= len(self._in_turn):
            raise DurableWorldError(
                f"'{self._name}' is faked for {len(self._in_turn)} calls in turn, and this is number {turn + 1}"
            )
        value = self._in_turn[turn]
        if isinstance(value, BaseException) or (inspect.isclass(value) and issubclass(value, BaseException)):
            raise value
        return value


def http_responder(by: Callable[[HttpCall], HttpReply] | None, status: int, content: Any, headers: Any) -> Responder:
    """Return what answers requests, from a function or with one answer; see ``DurableWorld.fake_http``."""

    def respond(call: HttpCall) -> tuple[int, list[tuple[str, str]], bytes]:
        reply = (status, content, headers or {}) if by is None else by(call)
        if isinstance(reply, int):
            reply = (reply, "", {})
        code, body, *rest = reply
        named = [(name, value) for name, value in (rest[0] if rest else {}).items()]
        if not isinstance(body, (str, bytes)):
            named.append(("Content-Type", "application/json"))
            body = json.dumps(body)
        return code, named, body.encode() if isinstance(body, str) else body

    return respond
