"""What a caller sends to an entity."""

from __future__ import annotations

import json
from typing import Any


class RequestMessage:
    """Request of an operation, as a history holds it.

    Args:
        id_: the request's id, under which the answer comes.
        name: the operation.
        signal: whether nobody waits for an answer.
        input_: JSON text of the input.
        arg: not used.
        parent: the caller's instance id.
        lockset: entities to lock.
        pos: position in ``lockset``.
        **kwargs: ignored.
    """

    def __init__(
        self,
        id_: str,
        name: str | None = None,
        signal: bool | None = None,
        input_: str | None = None,
        arg: Any = None,
        parent: str | None = None,
        lockset: list[Any] | None = None,
        pos: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.id = id_
        self.name = name
        self.signal = signal
        self.input = input_
        self.arg = arg
        self.parent = parent
        self.lockset = lockset
        self.pos = pos

    @classmethod
    def from_json(cls, json_str: str) -> RequestMessage:
        """Read a request.

        Raises:
            KeyError: there is no ``id``.
        """
        found = json.loads(json_str)
        return cls(found.pop("id"), **found)
