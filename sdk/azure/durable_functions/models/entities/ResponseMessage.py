"""What an entity sends to its caller."""

from __future__ import annotations

from typing import Any


class ResponseMessage:
    """Answer to a request.

    Args:
        result: JSON text of the result, or of the error's message.
        is_exception: whether the operation failed.
    """

    def __init__(self, result: str, is_exception: bool = False) -> None:
        self.result = result
        self.is_exception = is_exception

    @classmethod
    def from_dict(cls, d: dict[str, Any]) -> ResponseMessage:
        """Read an answer, ``{"result": text}``; the key ``exceptionType``, whatever its value, marks a failure.

        Raises:
            KeyError: there is no ``result``.
        """
        return cls(d["result"], "exceptionType" in d)
