"""PURE: what an activity receives and what becomes of its result or failure, as the extension does it.

An activity's input travels as a one-element JSON array. The SDK puts the text of its own JSON into it, so the element
is a string, whose characters are handed over; other clients may put any JSON value.

Source: Durable Task extension 3.x, activity dispatch; ``golden/extension/activity_values``, ``activity_failed``.
"""

from __future__ import annotations

import json
from typing import Any

_END_OF_MESSAGE = "\nStack:"
_OUT_OF_PROCESS_MARKER = "\n\n$OutOfProcData$:"


def unwrap_input(payload: str | None) -> str | None:
    """Return the text to hand to an activity, ``None`` when it gets no input.

    Args:
        payload: text of the work item: a one-element array; a value that is no array (a hand-made message) counts as
            the element.
    """
    if payload is None:
        return None
    try:
        value = json.loads(payload)
    except ValueError:
        return payload
    if isinstance(value, list):
        value = value[0] if value else None
    return _element_text(value)


def _element_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return compact(value)


def result_text(datum_type: str | None, value: Any) -> str | None:
    """Return the JSON text to store for what an activity's converter gave, ``None`` for no result."""
    if value is None:
        return None
    if datum_type != "json":
        return compact(value)
    parsed = json.loads(value)
    return None if parsed is None else compact(parsed)


def compact(value: Any) -> str:
    """Return JSON as the extension writes it: no blanks, non-ASCII characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def failure_reason(name: str, message: str) -> str:
    """Return what the orchestration sees of an activity that raised.

    The extension cuts the message out of a longer text, between labels. Hence the second blank before it, and the cut
    where the message itself holds a label.
    """
    shown = f" {message}".partition(_END_OF_MESSAGE)[0]
    return f"Activity function '{name}' failed: {shown.partition(_OUT_OF_PROCESS_MARKER)[0]}"


def failure_details(message: str, stack: str) -> str:
    """Return the serialised exception that the extension stores beside the reason, without its .NET stack."""
    shown = f" {message}".partition(_END_OF_MESSAGE)[0].partition(_OUT_OF_PROCESS_MARKER)[0]
    remote = {
        "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException, Microsoft.Azure.WebJobs.Script",
        "IsUserException": False,
        "RemoteStackTrace": stack,
        "RemoteMessage": message,
        "RemoteTypeName": None,
        "Message": f"Result: Failure\nException: {message}\nStack: {stack}",
        "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
        "InnerException": None,
        "HelpLink": None,
        "Source": "taskhub",
        "HResult": -2146233088,
        "StackTrace": None,
    }
    return compact(
        {
            "$type": "System.Exception, System.Private.CoreLib",
            "ClassName": "System.Exception",
            "Message": shown,
            "Data": None,
            "InnerException": remote,
            "HelpURL": None,
            "StackTraceString": None,
            "RemoteStackTraceString": None,
            "RemoteStackIndex": 0,
            "ExceptionMethod": None,
            "HResult": -2146233088,
            "Source": None,
            "WatsonBuckets": None,
        }
    )
