"""What goes wrong in a simulated world."""

from __future__ import annotations


class DurableWorldError(Exception):
    """The test asks for something that cannot be; the message says what can."""


class UnexpectedState(AssertionError):
    """An instance is not in the state that the test counts on; the message says in which, and why."""
