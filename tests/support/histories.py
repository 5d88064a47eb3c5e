"""Forms that a context takes from host to host, and damage that one may have taken.

``dressed`` changes how a history is told, not what it says; ``corrupted`` changes what no host writes. Both draw from a
random source whose simplest draw changes nothing, or little.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Context = dict[str, Any]
    Event = dict[str, Any]

_DELIVERED = {0, 5, 6, 8, 9, 11, 15, 19, 20}
_STARTED = 12


def dressed(context: Context, rng: random.Random) -> Context:
    """Return a context as another version or mood of the host would hand it over."""
    made = copy.deepcopy(context)
    made["history"] = _with_bystanders(made["history"], rng)
    rng.choice((_play_as_now, _play_nothing, _play_all_before, _play_all))(made["history"])
    rng.choice((_keep_times, _seven_digits, _keep_times))(made["history"])
    for change in (_name_parent, _add_keys, _give_version, _deny_replay):
        if rng.random() > 0.8:
            change(made)
    return made


def _with_bystanders(history: list[Event], rng: random.Random) -> list[Event]:
    """Put events between that tell an orchestrator nothing."""
    made = list(history)
    for _ in range(rng.choice((0, 0, 1, 3))):
        position = rng.randrange(2, len(made) + 1) if len(made) >= 2 else len(made)
        stamp = made[position - 1]["Timestamp"] if position else "2024-03-05T10:00:00Z"
        kind = rng.choice((19, 20, 17, 18, 3, 21, 77))
        extra = {"Reason": "by hand"} if kind in {19, 20, 21} else {"Data": "x"} if kind == 17 else {}
        made.insert(position, {"EventType": kind, **extra, "EventId": -1, "IsPlayed": False, "Timestamp": stamp})
    return made


def _last_start(history: list[Event]) -> int:
    return max((i for i, event in enumerate(history) if event["EventType"] == _STARTED), default=0)


def _play_as_now(history: list[Event]) -> None:
    """Mark what was delivered before, as the extension does since its version 2.13."""
    last = _last_start(history)
    for i, event in enumerate(history):
        event["IsPlayed"] = i < last and event["EventType"] in _DELIVERED


def _play_nothing(history: list[Event]) -> None:
    for event in history:
        event["IsPlayed"] = False


def _play_all_before(history: list[Event]) -> None:
    last = _last_start(history)
    for i, event in enumerate(history):
        event["IsPlayed"] = i < last


def _play_all(history: list[Event]) -> None:
    for event in history:
        event["IsPlayed"] = True


def _keep_times(history: list[Event]) -> None:
    pass


def _seven_digits(history: list[Event]) -> None:
    for event in history:
        whole, _, fraction = event["Timestamp"].rstrip("Z").partition(".")
        event["Timestamp"] = f"{whole}.{fraction.ljust(6, '0')}9Z"


def _name_parent(context: Context) -> None:
    context["parentInstanceId"] = "parent-1"


def _add_keys(context: Context) -> None:
    context["sourceInstanceId"] = None
    context["defaultHttpAsyncRequestSleepTimeMillseconds"] = 1


def _give_version(context: Context) -> None:
    for event in context["history"]:
        if event["EventType"] == 0:
            event["Version"] = "2.1"


def _deny_replay(context: Context) -> None:
    context["isReplaying"] = not context["isReplaying"]


# -- damage ----------------------------------------------------------------------------------------------------------


def corrupted(context: Context, rng: random.Random) -> Context:
    """Return a context with one or two things wrong."""
    made = copy.deepcopy(context)
    for _ in range(rng.choice((1, 2))):
        rng.choice(_DAMAGE)(made, rng)
    return made


def _repeat_completion(context: Context, rng: random.Random) -> None:
    history = context["history"]
    answers = [event for event in history if event.get("EventType") in _DELIVERED - {0}]
    if answers:
        history.insert(rng.randrange(2, len(history) + 1), dict(rng.choice(answers)))


def _complete_unknown(context: Context, rng: random.Random) -> None:
    history = context["history"]
    task_id = rng.choice((99, 0, 1, 2, 3, -1, None, "0"))
    kind = rng.choice((5, 6, 8, 9, 11))
    extra = {"TimerId": task_id} if kind == 11 else {"TaskScheduledId": task_id}
    if kind in {5, 8}:
        extra["Result"] = "1"
    elif kind in {6, 9}:
        extra |= {"Reason": "r", "Details": "d"}
    event = {"EventType": kind, **extra, "EventId": -1, "IsPlayed": False, "Timestamp": "2024-03-05T11:00:00Z"}
    history.insert(rng.randrange(len(history) + 1), event)


def _drop(context: Context, rng: random.Random) -> None:
    history = context["history"]
    if history:
        del history[rng.randrange(len(history))]


def _swap(context: Context, rng: random.Random) -> None:
    history = context["history"]
    if len(history) > 1:
        i = rng.randrange(len(history) - 1)
        history[i], history[i + 1] = history[i + 1], history[i]


def _cut(context: Context, rng: random.Random) -> None:
    history = context["history"]
    del history[rng.randrange(len(history) + 1) :]


def _lose_key(context: Context, rng: random.Random) -> None:
    history = context["history"]
    if history:
        event = rng.choice(history)
        event.pop(rng.choice(sorted(event)), None)


def _lose_context_key(context: Context, rng: random.Random) -> None:
    context.pop(rng.choice(("input", "instanceId", "isReplaying", "parentInstanceId", "history")), None)
    context.setdefault("history", [])


def _spoil_text(context: Context, rng: random.Random) -> None:
    texts = [event for event in context["history"] if {"Result", "Input"} & event.keys()]
    if texts:
        event = rng.choice(texts)
        bad = rng.choice(("no json", "", None, '{"a"', "7 8", '{"result": null}', '{"other": 1}', "NaN", " 1"))
        event["Result" if "Result" in event else "Input"] = bad


def _other_kind(context: Context, rng: random.Random) -> None:
    history = context["history"]
    if history:
        rng.choice(history)["EventType"] = rng.choice((5, 6, 11, 12, 14, 15, 0, 13, 16, 77, "5", None))


def _other_value(context: Context, rng: random.Random) -> None:
    history = context["history"]
    if history:
        event = rng.choice(history)
        event[rng.choice(sorted(event))] = rng.choice((None, 0, "", "x", [], {}, -1, 1.5, True))


def _other_schema(context: Context, rng: random.Random) -> None:
    key = rng.choice(("upperSchemaVersion", "upperSchemaVersionNew"))
    context[key] = rng.choice((7, -1, "1", None, 2, 1.0))


def _other_span(context: Context, rng: random.Random) -> None:
    key = rng.choice(("maximumShortTimerDuration", "longRunningTimerIntervalDuration"))
    context[key] = rng.choice(("6:00:00", "1.00:00:00.123", "x", "", "-1.00:00:00", 6, "10.00:00:00x", "00:00:01"))


def _other_input(context: Context, rng: random.Random) -> None:
    context["input"] = rng.choice(("1", '{"a": 1}', "plain text", 5, [1], {"a": 1}, False, "null", ""))


def _time_moves(context: Context, rng: random.Random) -> None:
    history = context["history"]
    if history:
        stamps = (
            "2024-03-05T09:00:00Z",
            "2024-03-05T12:00:00Z",
            "2024-03-06T10:00:00.5Z",
            "2025-01-01T00:00:00.1Z",
        )
        rng.choice(history)["Timestamp"] = rng.choice(stamps)


_DAMAGE: tuple[Callable[[Context, random.Random], None], ...] = (
    _repeat_completion,
    _complete_unknown,
    _drop,
    _swap,
    _cut,
    _lose_key,
    _lose_context_key,
    _spoil_text,
    _other_kind,
    _other_value,
    _other_schema,
    _other_span,
    _other_input,
    _time_moves,
)
