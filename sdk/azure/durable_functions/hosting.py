"""For hosts that run apps in their own process: durable clients reach them by a call, without HTTP.

A host names the address that it puts into client bindings, and what answers there. Clients whose binding has that
address ask it directly; every other address is asked by HTTP as ever, and so is this one by other processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Answers(Protocol):
    """Answers the requests that would go to an address."""

    async def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Return status and body of the answer to one request; called in any thread, on any event loop.

        Args:
            method: ``GET``, ``POST`` or ``DELETE``.
            url: absolute address, with its query.
            headers: names in lower case.
            body: of the request, empty for none.

        Raises:
            ConnectionError: the host has stopped.
        """


_answers: dict[str, Answers] = {}


def answer_here(origin: str, answers: Answers) -> None:
    """Let the clients of this process ask directly what lies below an origin.

    Args:
        origin: scheme, host and port, as bindings have them: ``http://127.0.0.1:17071``.
        answers: what answers there.
    """
    _answers[origin] = answers


def answer_no_more(origin: str) -> None:
    """Undo :func:`answer_here`; nothing happens when nobody answers there."""
    _answers.pop(origin, None)


def answers_to(url: str) -> Answers | None:
    """Return what answers to an address in this process, ``None`` when it is asked by HTTP."""
    if not _answers:
        return None
    end = url.find("/", url.find("://") + 3)
    return _answers.get(url if end < 0 else url[:end])
