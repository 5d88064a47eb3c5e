"""JSON texts of entities: what they are sent, what they answer, what they remember, and what user code gets and gives.

Messages begin with ``$type``, as the extension writes them, but those of clients; what is remembered has none. Readers
pass over it, and over everything else that they do not know. ``id`` must stay right behind ``op``, ``signal`` and
``input``: .NET finds it with a reader that knows no other property.

Source: Durable Task extension, ``RequestMessage``, ``ResponseMessage``, ``ReleaseMessage``, ``SchedulerState``.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.codec.jsontext import json_of, parse_utc, writable
from taskhub.codec.records import PLAINERS, Mismatch, mismatch, require, take
from taskhub.errors import MalformedMessage
from taskhub.model.entities import (
    NEVER,
    RELEASE_EVENT,
    REQUEST_EVENT,
    BatchAnswer,
    Continue,
    EntityId,
    ReceiveBuffer,
    Release,
    Request,
    Response,
    SchedulerState,
    Signal,
    SorterState,
    Stamp,
)
from taskhub.model.history import FailureDetails
from taskhub.model.ids import ExecutionId, InstanceId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskhub.model.entities import Incoming
    from taskhub.model.ids import Utc

_T = TypeVar("_T")

_ERROR = "Error"
"""Stands as the type of every exception; readers look only whether there is one."""
_EXTENSION = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_DELETED_BY_PYTHON = "null"
_KEY_LENGTH = 22
"""Of a key of ``core.entity_memory``."""


def _type(name: str) -> str:
    return f"{_EXTENSION}.{name}, {_EXTENSION}"


# ---- events


def event_name(due: Utc | None = None) -> str:
    """Return the name of the event that carries a request.

    Args:
        due: until when it is hidden.
    """
    return REQUEST_EVENT if due is None else f"{REQUEST_EVENT}@{due.padded()}"


def encode_request(request: Request, *, typed: bool = True) -> str:
    """Return the text of a request; ``typed`` as orchestrations and entities send it, else as clients do."""
    return writable(json_of(_plain_request(request, typed=typed)))


def encode_response(response: Response) -> str:
    """Return the text of an answer."""
    # Never null: the SDK strips the result before it looks at it.
    plain: dict[str, object] = {
        "$type": _type("ResponseMessage"),
        "result": "null" if response.result is None else response.result,
    }
    if response.is_error:
        plain["exceptionType"] = _ERROR
    if response.failure is not None:
        plain["failureDetails"] = PLAINERS[FailureDetails](response.failure)
    return writable(json_of(plain))


def encode_release(release: Release, *, typed: bool = True) -> str:
    """Return the text of a release."""
    plain = {"$type": _type("ReleaseMessage")} if typed else {}
    return writable(json_of({**plain, "parent": release.parent, "id": release.id}))


def decode_incoming(name: str, content: str | None) -> Incoming:
    """Return what an event means to an entity: whatever is neither request nor release tells it to go on.

    Args:
        name: of the event.
        content: its input.

    Raises:
        MalformedMessage: a request or release that cannot be read.
    """
    if name.startswith(REQUEST_EVENT):
        return _decoded(content, _read_request, "request")
    if name == RELEASE_EVENT:
        return _decoded(content, _read_release, "release")
    return Continue()


# ---- what an entity remembers


def encode_scheduler(scheduler: SchedulerState) -> str:
    """Return the text of what an entity remembers, which is the input of its execution."""
    plain: dict[str, object] = {}
    if scheduler.exists:
        plain["exists"] = True
    if scheduler.state is not None:
        plain["state"] = scheduler.state
    if scheduler.queue:
        plain["queue"] = [_plain_request(request, typed=False) for request in scheduler.queue]
    if scheduler.locked_by is not None:
        plain["lockedBy"] = scheduler.locked_by
    if scheduler.is_suspended:
        plain["suspended"] = True
    plain["sorter"] = _plain_sorter(scheduler.sorter)
    return writable(json_of(plain))


def decode_scheduler(text: str | None) -> SchedulerState:
    """Return what an entity remembers.

    Args:
        text: input of its execution; ``None`` for an entity that was never asked anything.

    Raises:
        MalformedMessage: it is no such text.
    """
    return SchedulerState() if text is None else _decoded(text, _read_scheduler, "state of an entity")


def encode_status(scheduler: SchedulerState) -> str:
    """Return the custom status by which an entity can be looked at without its state."""
    plain: dict[str, object] = {}
    if scheduler.exists:
        plain["entityExists"] = True
    if scheduler.queue:
        plain["queueSize"] = len(scheduler.queue)
    if scheduler.locked_by is not None:
        plain["lockedBy"] = scheduler.locked_by
    return writable(json_of(plain))


def decode_status(text: str | None) -> tuple[bool, int, InstanceId | None]:
    """Return whether the entity exists, the length of its queue and who holds it; lenient, for lists."""
    try:
        plain = json.loads(text or "{}")
        if type(plain) is not dict:
            raise mismatch(plain, dict)
        locked_by = take(plain, "lockedBy", str)
        return (
            take(plain, "entityExists", bool) or False,
            take(plain, "queueSize", int) or 0,
            None if locked_by is None else InstanceId(locked_by),
        )
    except (ValueError, RecursionError, Mismatch):
        return False, 0, None


def encode_taken_requests(minutes: Mapping[str, int]) -> str:
    """Return the text of what an entity has taken: for each minute its keys, all of one length, without a gap.

    Args:
        minutes: the minute of each key, in order.
    """
    groups = itertools.groupby(minutes.items(), key=lambda item: item[1])
    return " ".join(f"{minute}:{''.join(key for key, _ in items)}" for minute, items in groups)


def decode_taken_requests(text: str | None) -> dict[str, int]:
    """Return the minute of each key; lenient, because the worst is that a second copy is not recognised."""
    minutes: dict[str, int] = {}
    for group in (text or "").split():
        minute, _, keys = group.partition(":")
        if minute.isdecimal():
            minutes.update({keys[at : at + _KEY_LENGTH]: int(minute) for at in range(0, len(keys), _KEY_LENGTH)})
    return minutes


# ---- user code


def trigger_text(entity: EntityId, scheduler: SchedulerState, operations: Iterable[Request]) -> str:
    """Return what user code gets for a batch: indented, as the extension writes it."""
    plain = {
        "self": {"name": entity.name, "key": entity.key},
        "exists": scheduler.exists,
        "state": scheduler.state,
        "batch": [
            {"name": each.operation or "", "input": each.input, "isSignal": each.is_signal, "id": each.id}
            for each in operations
        ],
    }
    return json.dumps(plain, indent=2, ensure_ascii=False)


def decode_answer(text: str, *, operations: int) -> BatchAnswer:
    """Return what user code made of a batch.

    Args:
        text: what the function returned.
        operations: how many results there must be.

    Raises:
        MalformedMessage: it is no answer, or one to something else.
    """
    answer = _decoded(text, _read_answer, "answer of an entity function")
    if len(answer.results) != operations:
        raise MalformedMessage(
            f"answer of an entity function has {len(answer.results)} results for {operations} operations"
        )
    return answer


# ---- writing


def _plain_request(request: Request, *, typed: bool) -> dict[str, object]:
    plain: dict[str, object] = {"$type": _type("RequestMessage")} if typed else {}
    plain["op"] = request.operation
    if request.is_signal:
        plain["signal"] = True
    if request.input is not None:
        plain["input"] = request.input
    plain["id"] = request.id
    if request.parent is not None:
        plain["parent"] = request.parent
    if request.parent_execution is not None:
        plain["parentExecution"] = request.parent_execution
    if request.due is not None:
        plain["due"] = request.due
    plain["Timestamp"] = str(request.timestamp)
    plain["Predecessor"] = str(request.predecessor)
    if request.lock_set is not None:
        kind: dict[str, object] = {"$type": _type("EntityId")} if typed else {}
        plain["lockset"] = [{**kind, "name": each.name, "key": each.key} for each in request.lock_set]
    if request.position:
        plain["pos"] = request.position
    plain.update(request.extra)
    return plain


def _plain_sorter(sorter: SorterState) -> dict[str, object]:
    plain: dict[str, object] = {}
    if sorter.last_sent:
        plain["LastSentToInstance"] = {target: str(stamp) for target, stamp in sorter.last_sent.items()}
    if sorter.received:
        plain["ReceivedFromInstance"] = {source: _plain_buffer(each) for source, each in sorter.received.items()}
    if sorter.receive_horizon != NEVER:
        plain["ReceiveHorizon"] = str(sorter.receive_horizon)
    if sorter.send_horizon != NEVER:
        plain["SendHorizon"] = str(sorter.send_horizon)
    return plain


def _plain_buffer(buffer: ReceiveBuffer) -> dict[str, object]:
    plain: dict[str, object] = {}
    if buffer.last != NEVER:
        plain["Last"] = str(buffer.last)
    if buffer.execution_id is not None:
        plain["ExecutionId"] = buffer.execution_id
    if buffer.buffered:
        plain["Buffered"] = {str(each.timestamp): _plain_request(each, typed=False) for each in buffer.buffered}
    return plain


# ---- reading


def _decoded(text: str | None, read: Callable[[Mapping[str, object]], _T], what: str) -> _T:
    try:
        plain = json.loads(text or "null")
        if type(plain) is not dict:
            raise mismatch(plain, dict)
        return read(plain)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"{what} is not JSON: {error}") from None
    except Mismatch as error:
        raise MalformedMessage(f"{what} is not one of the extension: {error}") from None


_REQUEST_KEYS = frozenset(
    {
        *("$type", "op", "signal", "input", "id", "parent", "parentExecution", "due"),
        *("Timestamp", "Predecessor", "lockset", "pos"),
    }
)


def _read_request(plain: Mapping[str, object]) -> Request:
    parent, parent_execution = take(plain, "parent", str), take(plain, "parentExecution", str)
    due, lock_set = take(plain, "due", str), take(plain, "lockset", list)
    if lock_set is not None and parent is None:
        raise Mismatch("lacks parent, for whom to lock")
    return Request(
        id=require(plain, "id", str),
        operation=take(plain, "op", str),
        is_signal=take(plain, "signal", bool) or False,
        input=take(plain, "input", str),
        parent=None if parent is None else InstanceId(parent),
        parent_execution=None if parent_execution is None else ExecutionId(parent_execution),
        due=None if due is None else _time(due, "due", parse_utc),
        timestamp=_stamp(plain, "Timestamp"),
        predecessor=_stamp(plain, "Predecessor"),
        lock_set=None if lock_set is None else tuple(_read_member(member) for member in lock_set),
        position=take(plain, "pos", int) or 0,
        extra={name: value for name, value in plain.items() if name not in _REQUEST_KEYS},
    )


def _read_member(plain: object) -> EntityId:
    try:
        if type(plain) is not dict:
            raise mismatch(plain, dict)
        return EntityId(require(plain, "name", str), require(plain, "key", str))
    except Mismatch as error:
        raise error.below("lockset") from None


def _read_release(plain: Mapping[str, object]) -> Release:
    return Release(InstanceId(require(plain, "parent", str)), take(plain, "id", str) or "")


def _read_scheduler(plain: Mapping[str, object]) -> SchedulerState:
    state, locked_by = take(plain, "state", str), take(plain, "lockedBy", str)
    exists = take(plain, "exists", bool)
    return SchedulerState(
        # Workers with entities of their own kind leave it out: a state is there or not. The extension leaves it out
        # when it is false, and a deleted entity of Python keeps a text.
        exists=exists if exists is not None else state not in (None, _DELETED_BY_PYTHON),
        state=state,
        queue=tuple(_read_request(_object(each, "queue")) for each in take(plain, "queue", list) or ()),
        locked_by=None if locked_by is None else InstanceId(locked_by),
        is_suspended=take(plain, "suspended", bool) or False,
        sorter=_read_sorter(take(plain, "sorter", dict) or {}),
    )


def _read_sorter(plain: Mapping[str, object]) -> SorterState:
    last_sent = _named(plain, "LastSentToInstance")
    received = _named(plain, "ReceivedFromInstance")
    return SorterState(
        last_sent={target: _stamp(last_sent, target) for target in last_sent},
        received={source: _read_buffer(_object(each, source)) for source, each in received.items()},
        receive_horizon=_stamp(plain, "ReceiveHorizon"),
        send_horizon=_stamp(plain, "SendHorizon"),
    )


def _read_buffer(plain: Mapping[str, object]) -> ReceiveBuffer:
    execution_id = take(plain, "ExecutionId", str)
    buffered = [_read_request(_object(each, "Buffered")) for each in _named(plain, "Buffered").values()]
    return ReceiveBuffer(
        last=_stamp(plain, "Last"),
        execution_id=None if execution_id is None else ExecutionId(execution_id),
        buffered=tuple(sorted(buffered, key=lambda request: request.timestamp.ticks)),
    )


def _read_answer(plain: Mapping[str, object]) -> BatchAnswer:
    return BatchAnswer(
        exists=take(plain, "entityExists", bool) or False,
        state=take(plain, "entityState", str),
        results=tuple(_read_result(_object(each, "results")) for each in take(plain, "results", list) or ()),
        signals=tuple(_read_signal(_object(each, "signals")) for each in take(plain, "signals", list) or ()),
    )


def _read_result(plain: Mapping[str, object]) -> Response:
    return Response(take(plain, "result", str), is_error=take(plain, "isError", bool) or False)


def _read_signal(plain: Mapping[str, object]) -> Signal:
    target = require(plain, "target", dict)
    request_time = take(plain, "requestTime", str)
    return Signal(
        # In lower case, where the extension leaves the name as it is and so addresses another instance.
        target=EntityId.of(require(target, "name", str), take(target, "key", str) or ""),
        operation=take(plain, "name", str) or "",
        input=take(plain, "input", str),
        extra={} if request_time is None else {"requestTime": request_time},
    )


def _object(value: object, name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise mismatch(value, dict).below(name)
    return value


def _named(plain: Mapping[str, object], name: str) -> Mapping[str, object]:
    """Return a dictionary without the type name that Newtonsoft puts among its entries."""
    return {key: value for key, value in (take(plain, name, dict) or {}).items() if key != "$type"}


def _stamp(plain: Mapping[str, object], name: str) -> Stamp:
    text = take(plain, name, str)
    return NEVER if text is None else _time(text, name, _label)


def _label(text: str) -> Stamp:
    # Others may write an offset; the labels of one sender are compared with each other only, and all have it then.
    return Stamp.of(parse_utc(text)) if text[-6:-5] in ("+", "-") else Stamp.parse(text)


def _time(text: str, name: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except ValueError:
        raise Mismatch(f"not a time: {text!r}", name) from None
