"""PURE: times, optional texts and failures, between the task hub's types and those of the protocol.

A field that may be missing is a message of its own with the one field ``value``; the mapping of a message has ``None``
where a field is missing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from taskhub.model.history import FailureDetails
from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from collections.abc import Mapping


_EPOCH = datetime(1970, 1, 1)


def optional(text: str | None) -> dict[str, str] | None:
    """Return the fields of a text that may be missing."""
    return None if text is None else {"value": text}


def text_of(message: Any, field: str) -> str | None:
    """Return a text that may be missing.

    Args:
        message: that has it.
        field: its name.
    """
    value: str | None = getattr(message, field).value if message.HasField(field) else None
    return value


def stamp(moment: Utc) -> dict[str, int]:
    """Return the fields of a point in time, its seventh digit included."""
    head, _, fraction = moment[:-1].partition(".")
    since = datetime.fromisoformat(head) - _EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": int(f"{fraction:0<9}") if fraction else 0}


def optional_stamp(moment: Utc | None) -> dict[str, int] | None:
    """Return the fields of a point in time that may be missing."""
    return None if moment is None else stamp(moment)


def utc(timestamp: Any) -> Utc:
    """Return the point in time of a message."""
    text = (_EPOCH + timedelta(seconds=timestamp.seconds)).isoformat()
    return Utc.parse(f"{text}.{timestamp.nanos // 100:07d}Z")


def utc_of(message: Any, field: str) -> Utc | None:
    """Return a point in time that may be missing."""
    return utc(getattr(message, field)) if message.HasField(field) else None


# ---- failures


def failure_fields(failure: FailureDetails) -> dict[str, Any]:
    """Return the fields of a failure."""
    inner = failure.inner_failure
    return {
        "errorType": failure.error_type,
        "errorMessage": failure.error_message,
        "stackTrace": optional(failure.stack_trace),
        "innerFailure": None if inner is None else failure_fields(inner),
        "isNonRetriable": failure.is_non_retriable,
        "properties": {name: _value_fields(value) for name, value in (failure.properties or {}).items()},
    }


def failure_of(message: Any) -> FailureDetails:
    """Return the failure of a message."""
    return FailureDetails(
        error_type=message.errorType,
        error_message=message.errorMessage,
        stack_trace=text_of(message, "stackTrace"),
        inner_failure=failure_of(message.innerFailure) if message.HasField("innerFailure") else None,
        is_non_retriable=message.isNonRetriable,
        properties={name: _plain(value) for name, value in message.properties.items()} or None,
    )


def failure_in(message: Any) -> FailureDetails | None:
    """Return the ``failureDetails`` that a message may have."""
    return failure_of(message.failureDetails) if message.HasField("failureDetails") else None


def failure_from_text(text: str, stack: str | None = None) -> FailureDetails:
    """Return the failure that a text tells of, ``ValueError: boom`` or any other."""
    kind, found, message = text.partition(": ")
    if not found or not kind or " " in kind:
        return FailureDetails("(unknown)", text, stack)
    return FailureDetails(kind, message, stack)


def _value_fields(value: object) -> Mapping[str, Any]:
    match value:
        case None:
            return {"null_value": 0}
        case bool():
            return {"bool_value": value}
        case int() | float():
            return {"number_value": float(value)}
        case dict():
            return {"struct_value": value}  # these two take plain values
        case list() | tuple():
            return {"list_value": list(value)}
    return {"string_value": str(value)}


def _plain(value: Any) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _plain(each) for name, each in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)
