"""What goes wrong in durable functions, one class for each kind, with the facts as attributes.

In an orchestrator: :class:`TaskFailedError` is what a call that failed raises, :class:`FunctionNotFoundError` the same
for a function that does not exist, :class:`PayloadDecodeError` for a value that is not what the code expects,
:class:`ForeignAwaitableError` for an ``await`` that no replay can repeat, :class:`UnsupportedByHostError` for what
this host cannot do, :class:`LockingRulesError` for what must not happen in a critical section.

To the host: :class:`NonDeterminismError` when the code and its history disagree, :class:`CorruptHistoryError` and
:class:`MalformedContextError` when what the host handed over cannot be right.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "CorruptHistoryError",
    "FailureDetails",
    "ForeignAwaitableError",
    "FunctionNotFoundError",
    "LockingRulesError",
    "MalformedContextError",
    "NonDeterminismError",
    "PayloadDecodeError",
    "TaskFailedError",
    "UnsupportedByHostError",
]

ErrorType = Union[type[BaseException], str]  # noqa: UP007 (a runtime alias on 3.10)
TaskKind = Literal["activity", "orchestration", "entity"]


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """An exception that was raised elsewhere: in an activity, a sub-orchestration or an entity."""

    message: str
    """Its text, without the type."""
    error_type: str | None = None
    """Name of its class, ``ValueError``; ``None`` when nobody told, as for sub-orchestrations and entities."""
    stack_trace: str | None = None
    """Traceback of the user's frames there; ``None`` when nobody told."""
    inner: FailureDetails | None = None
    """The failure that it was raised for: the activity's, when that made a sub-orchestration fail."""

    @property
    def root(self) -> FailureDetails:
        """The innermost failure: where it all began."""
        return self if self.inner is None else self.inner.root

    def is_caused_by(self, error_type: ErrorType) -> bool:
        """Return whether this failure, or one that it was raised for, is of a type.

        Args:
            error_type: a class, or its name. A class also stands for its subclasses in the same module, so that
                ``OSError`` finds ``ConnectionError``. Subclasses elsewhere do not count: whether they are loaded may
                differ from replay to replay, and the answer must not.
        """
        names = _names_of(error_type)
        return any(each.error_type is not None and _last_part(each.error_type) in names for each in self._chain())

    def _chain(self) -> Iterator[FailureDetails]:
        failure: FailureDetails | None = self
        while failure is not None:
            yield failure
            failure = failure.inner


def _names_of(error_type: ErrorType) -> set[str]:
    if isinstance(error_type, str):
        return {_last_part(error_type)}
    names, classes = set(), [error_type]
    while classes:
        each = classes.pop()
        names.add(each.__name__)
        classes += [sub for sub in type.__subclasses__(each) if sub.__module__ == error_type.__module__]
    return names


def _last_part(dotted: str) -> str:
    return dotted.rpartition(".")[2]


class TaskFailedError(Exception):
    r"""An activity, a sub-orchestration or an operation of an entity failed.

    ``str()`` is what azure-functions-durable gives: ``"{reason} \n {details}"`` of the host; for entities the decoded
    message.

    Args:
        message: what ``str()`` gives.
        failure: the host's structured description, DurableTask's ``FailureDetails``, if it sent one.

    Attributes:
        kind: what failed.
        name: name of the activity or orchestration, or the entity as ``@name@key``; ``None`` when not known.
        reason: the host's one-line text.
        raw_details: the host's further text, often a serialised exception; ``None`` for entities.
    """

    def __init__(
        self,
        message: Any = "",
        *,
        kind: TaskKind = "activity",
        name: str | None = None,
        reason: str | None = None,
        raw_details: str | None = None,
        failure: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.reason: str = str(message) if reason is None else reason
        self.raw_details = raw_details
        self._failure = failure
        self._details: FailureDetails | None = None

    @property
    def details(self) -> FailureDetails:
        """What was raised there, as far as the host told; read from its texts when first asked for."""
        if self._details is None:
            self._details = self._read_details()
        return self._details

    @property
    def error_type(self) -> str | None:
        """Class name of the exception where it all began: in the activity, however deep."""
        return self.details.root.error_type

    @property
    def error_message(self) -> str:
        """Text of the exception where it all began."""
        return self.details.root.message

    @property
    def stack_trace(self) -> str | None:
        """Traceback of the exception where it all began."""
        return self.details.root.stack_trace

    def is_caused_by(self, error_type: ErrorType) -> bool:
        """Return whether an exception of a type made it fail; see :meth:`FailureDetails.is_caused_by`."""
        return self.details.is_caused_by(error_type)

    def _read_details(self) -> FailureDetails:
        if self._failure is not None:
            found = _from_failure_details(self._failure)
            if found is not None:
                return found
        if self.kind == "entity":
            return FailureDetails(self.reason)
        if self.kind == "orchestration":
            return _from_orchestration(self.reason, self.raw_details)
        return _from_activity(self.reason, self.raw_details)


class FunctionNotFoundError(TaskFailedError):
    """A function was called that does not exist, or is of another kind.

    Args:
        **facts: as of :class:`TaskFailedError`.

    Attributes:
        known: the names that exist, when they are known.
    """

    def __init__(self, message: Any = "", *, known: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.known: tuple[str, ...] = tuple(known)


_MISSING = re.compile(
    r"The function '(?P<a>[^']*)' doesn't exist, is disabled, or is not an? |"
    r"Activity function '(?P<b>[^']*)' (?:does not exist|is disabled)\."
)
"""How hosts say that a function is missing. Source: Durable Task extension, and ours."""


def task_failed(
    message: Any,
    *,
    kind: TaskKind,
    name: str | None,
    reason: str | None,
    raw_details: str | None,
    failure: Mapping[str, Any] | None = None,
) -> TaskFailedError:
    """Return the error for a task that the host reports as failed."""
    missing = _MISSING.search(reason) if reason is not None and kind != "entity" else None
    # The parent of an orchestration that called a missing function has called one that exists.
    if missing is not None and name is not None and (missing["a"] or missing["b"]).lower() == name.lower():
        return FunctionNotFoundError(
            message, kind=kind, name=name, reason=reason, raw_details=raw_details, failure=failure
        )
    return TaskFailedError(message, kind=kind, name=name, reason=reason, raw_details=raw_details, failure=failure)


# -- reading what hosts tell of failures ------------------------------------------------------------------------------

_TYPED = re.compile(r"([A-Za-z_][\w.]*)(?:: ?(.*))?$", re.DOTALL)
_ACTIVITY_FAILED = re.compile(r"Activity function '[^']*' failed: ")
_ORCHESTRATOR_FAILED = re.compile(r"Orchestrator function '[^']*' failed: ")


def _from_failure_details(found: Mapping[str, Any]) -> FailureDetails | None:
    """Read DurableTask's ``FailureDetails``; ``None`` when it is something else."""
    message = found.get("ErrorMessage")
    if not isinstance(message, str):
        return None
    inner = found.get("InnerFailure")
    return FailureDetails(
        message,
        _text(found.get("ErrorType")),
        _text(found.get("StackTrace")),
        _from_failure_details(inner) if isinstance(inner, dict) else None,
    )


def _from_activity(reason: str, details: str | None) -> FailureDetails:
    """Read a serialised exception of .NET, within it what the Python worker reported."""
    parsed = _parsed(details)
    remote = parsed
    while isinstance(remote, dict):
        message = remote.get("RemoteMessage")
        if isinstance(message, str):
            error_type, text = _split_type(message)
            return FailureDetails(
                text, _text(remote.get("RemoteTypeName")) or error_type, _text(remote.get("RemoteStackTrace"))
            )
        remote = remote.get("InnerException")
    if isinstance(parsed, dict) and isinstance(parsed.get("Message"), str):
        # An exception of the host itself, a refused connection of call_http say; its type is .NET's.
        name = _text(parsed.get("$type")) or _text(parsed.get("ClassName")) or ""
        return FailureDetails(
            parsed["Message"].strip(), name.partition(",")[0] or None, _text(parsed.get("StackTrace"))
        )
    prefix = _ACTIVITY_FAILED.match(reason)
    if prefix is None:
        return FailureDetails(reason)
    error_type, text = _split_type(reason[prefix.end() :].strip())
    return FailureDetails(text, error_type)


def _from_orchestration(reason: str, details: str | None) -> FailureDetails:
    """Read ``Orchestrator function '…' failed: {error}``, where the error may be another task's that nobody caught."""
    prefix = _ORCHESTRATOR_FAILED.match(reason)
    text = reason if prefix is None else reason[prefix.end() :]
    stack = None
    if details is not None and details.startswith(f"Message: {text}, StackTrace: "):
        stack = details[len(f"Message: {text}, StackTrace: ") :]
    head, separator, rest = text.partition(" \n ")
    if separator and _ACTIVITY_FAILED.match(head):
        return FailureDetails(head, None, stack, _from_activity(head, rest))
    if separator and _ORCHESTRATOR_FAILED.match(head):
        child = _reason_of_child(text)
        if child is not None:
            return FailureDetails(child, None, stack, _from_orchestration(child, text[len(child) + len(separator) :]))
    return FailureDetails(text, None, stack)


def _reason_of_child(text: str) -> str | None:
    r"""Return the first part of ``"{reason} \n Message: {error}, StackTrace: …"``.

    The reason ends with the error. Both may hold such texts themselves, of children further down; hence the comparison.
    """
    for match in re.finditer(r" \n Message: ", text):
        reason, rest = text[: match.start()], text[match.end() :]
        if rest.startswith(f"{_ORCHESTRATOR_FAILED.sub('', reason, count=1)}, StackTrace: "):
            return reason
    return None


def _split_type(text: str) -> tuple[str | None, str]:
    match = _TYPED.match(text)
    if match is None or (match[2] is None and not text.endswith(("Error", "Exception"))):
        return None, text
    return match[1], match[2] or ""


def _parsed(details: str | None) -> Any:
    if details is None or not details.lstrip().startswith("{"):
        return None
    try:
        return json.loads(details)
    except ValueError:
        return None  # somebody else's text, or cut short: the reason must do


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


# -- what an orchestrator may not do, or this host cannot -------------------------------------------------------------


class ForeignAwaitableError(TypeError, RuntimeError):
    """An orchestrator awaited, or yielded, something that its context did not make.

    Attributes:
        awaited: what it was, as ``asyncio.sleep``.
        replacement: what to use instead.
    """

    def __init__(self, message: str = "", *, awaited: str | None = None, replacement: str | None = None) -> None:
        super().__init__(message)
        self.awaited = awaited
        self.replacement = replacement


class UnsupportedByHostError(NotImplementedError):
    """This host, or its protocol, cannot do what was asked.

    Attributes:
        feature: what was asked.
    """

    def __init__(self, message: str = "", *, feature: str | None = None) -> None:
        super().__init__(message)
        self.feature = feature


class LockingRulesError(Exception):
    """Code in a critical section did what its locks do not allow.

    Attributes:
        entity: the entity that it is about, as ``@name@key``; ``None`` when it is about no single one.
    """

    def __init__(self, message: str = "", *, entity: str | None = None) -> None:
        super().__init__(message)
        self.entity = entity


class PayloadDecodeError(ValueError, TypeError):
    """A value cannot be decoded, or is not of the type that the code expects.

    Attributes:
        field: which value: ``result of activity 'Quote' (task 3)``.
        path: where in it: ``items[2].price``; ``""`` for the whole.
        expected: name of the type that was expected there; ``None`` for any JSON.
        text: the JSON text, its beginning when it is long.
    """

    def __init__(
        self,
        message: str = "",
        *,
        field: str | None = None,
        path: str = "",
        expected: str | None = None,
        text: str | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.path = path
        self.expected = expected
        self.text = text


class NonDeterminismError(Exception):
    """The code does not ask for what it asked for when its history was written.

    Attributes:
        task_id: sequence number of the task at which they part.
        expected: what the history holds: ``activity 'Charge'``.
        actual: what the code asked for instead; ``None`` for nothing.
        file: source file of the line at which the code stands; ``None`` when it has ended.
        line: number of that line.
        source: text of that line.
        event: the history event, as the host wrote it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        task_id: int | None = None,
        expected: str | None = None,
        actual: str | None = None,
        file: str | None = None,
        line: int | None = None,
        source: str | None = None,
        event: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.expected = expected
        self.actual = actual
        self.file = file
        self.line = line
        self.source = source
        self.event = event


class CorruptHistoryError(ValueError):
    """A history cannot be replayed, whatever the code.

    Attributes:
        index: position of the event in what was handed over; ``None`` when it is about the whole.
        event: the event.
        key: the key that it lacks; ``None`` when it is something else.
    """

    def __init__(
        self,
        message: str = "",
        *,
        index: int | None = None,
        event: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.event = event
        self.key = key


class MalformedContextError(TypeError, ValueError):
    """What the host handed over for a function is not what its protocol says.

    Attributes:
        key: the key that is missing or wrong; ``None`` when it is the whole.
    """

    def __init__(self, message: str = "", *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key
