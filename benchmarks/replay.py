"""What replaying an orchestration costs.

Run as ``python -m benchmarks.replay [--quick]``. The official package is measured in its own environment, made by
``scripts/reference-env``, by this same file run as a script there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
REFERENCE_PYTHON = ROOT / ".venv-reference" / "bin" / "python"

QUESTION = """
How much CPU does a replay cost, in this package and in azure-functions-durable 1.7.0?

Cold replay: one call of the function that the Functions worker calls, with the extension's JSON text (indented, all
keys, as recorded in tests/golden/extension), parsing and answer included; best of several runs, in microseconds of
CPU per history event. A sequence has four events a step, a fan-out two an activity. The ratio is the reference's
figure by ours, both taken in this run, in turns; "fromisoformat" is the reference with its date parser replaced by
datetime.fromisoformat.

Live: azure.durable_functions.replay, a whole sequence step by step: CPU of all calls together; cost of a step at
1,000 by that at 100; and the memory that a session of 1,000 steps keeps, by tracemalloc, per event.
"""


def sequence(context: Any) -> Any:
    total = 0
    for number in range(int(context.get_input())):
        total += yield context.call_activity("Step", number)
    return total


def fan_out(context: Any) -> Any:
    results = yield context.task_all([context.call_activity("Step", number) for number in range(context.get_input())])
    return sum(results)


FUNCTIONS = {"sequence": sequence, "fan_out": fan_out}


# -- histories ------------------------------------------------------------------------------------------------------


def event(kind: int, second: int, event_id: int = -1, *, is_played: bool = False, **properties: Any) -> dict[str, Any]:
    time_of_day = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}.{second * 7919 % 10_000_000:07}"
    timestamp = f"2024-03-05T{time_of_day}Z"
    return {"EventType": kind, **properties, "EventId": event_id, "IsPlayed": is_played, "Timestamp": timestamp}


def started(size: int) -> list[dict[str, Any]]:
    first = event(
        0,
        0,
        ParentInstance=None,
        Name="Flow",
        Version=None,
        Input=json.dumps(str(size)),
        Tags=None,
        Correlation=None,
        ParentTraceContext=None,
        ScheduledStartTime=None,
        Generation=0,
        GenerateNewTrace=False,
    )
    return [event(12, 0), {"OrchestrationInstance": {"InstanceId": "i", "ExecutionId": "e"}, **first}]


def scheduled(number: int, second: int) -> dict[str, Any]:
    return event(4, second, number, Name="Step", Version="", Input=None, ParentTraceContext=None, Tags=None)


def sequence_step(number: int, *, is_played: bool = True) -> list[dict[str, Any]]:
    completed = event(5, number + 1, is_played=is_played, TaskScheduledId=number, Result=str(number))
    return [scheduled(number, number), event(13, number), event(12, number + 1), completed]


def history_of(shape: str, events: int) -> tuple[int, list[dict[str, Any]]]:
    """Return the size of an orchestration and its history of about so many events."""
    if shape == "sequence":
        size = max(1, (events - 2) // 4)
        steps = [each for number in range(size) for each in sequence_step(number, is_played=number < size - 1)]
        return size, [*started(size), *steps]
    size = max(1, (events - 4) // 2)
    asked = [scheduled(number, 0) for number in range(size)]
    answers = [event(5, 1, TaskScheduledId=number, Result=str(number)) for number in range(size)]
    return size, [*started(size), *asked, event(13, 0), event(12, 1), *answers]


def context_text(size: int, history: list[dict[str, Any]]) -> str:
    context = {
        "history": history,
        "input": str(size),
        "instanceId": "instance-1",
        "isReplaying": True,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 3,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
    }
    return json.dumps(context, indent=2)


# -- cold replay ----------------------------------------------------------------------------------------------------


def cold_replay_us(shape: str, events: int, repeats: int) -> float:
    """Return microseconds of CPU per event, the best of several replays."""
    import azure.durable_functions as df

    size, history = history_of(shape, events)
    text = context_text(size, history)
    handle = df.Orchestrator.create(FUNCTIONS[shape])
    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        answer = handle(text)
        best = min(best, time.process_time() - begun)
    state = json.loads(answer)
    if state["isDone"] is not True or state["output"] != sum(range(size)):
        raise RuntimeError(f"The replay went wrong: {answer[:200]}")
    return best / len(history) * 1e6


def use_fromisoformat() -> None:
    """Replace the reference's date parser."""
    from datetime import datetime, timezone

    import azure.durable_functions.models.history.HistoryEvent  # noqa: F401 (the class shadows the module)

    def parse(text: str) -> datetime:
        return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=timezone.utc)

    module = sys.modules["azure.durable_functions.models.history.HistoryEvent"]
    if not hasattr(module, "dt_parse"):
        raise RuntimeError("The reference's date parser is not where it was in 1.7.0")
    module.dt_parse = parse  # type: ignore[attr-defined]  # a module of the reference


class Reference:
    """The official package, in a process of its own that measures one replay at a time."""

    def __init__(self, *, patched: bool) -> None:
        command = [str(REFERENCE_PYTHON), str(Path(__file__)), "--serve", *(["--fromisoformat"] if patched else [])]
        # Of paths that lead to our package nothing may be left, as it has the same name.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def cold_replay_us(self, shape: str, events: int, repeats: int) -> float:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The process was started without pipes")
        self._process.stdin.write(json.dumps([shape, events, repeats]) + "\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def serve(*, patched: bool) -> None:
    """Answer requests of :class:`Reference`; runs in the reference's environment."""
    import logging

    logging.disable(logging.CRITICAL)
    if patched:
        use_fromisoformat()
    for line in sys.stdin:
        print(cold_replay_us(*json.loads(line)), flush=True)


# -- live -----------------------------------------------------------------------------------------------------------


def live_step_costs(steps: int) -> tuple[list[float], int]:
    """Return the CPU seconds of each step of a live sequence, and the bytes that its session keeps."""
    from azure.durable_functions.replay import OrchestrationSession

    feeds = [json.loads(json.dumps(sequence_step(number, is_played=False))) for number in range(steps)]
    first = json.loads(json.dumps(started(steps + 1)))
    session = OrchestrationSession(sequence, instance_id="instance-1")
    session.advance(first)
    costs = []
    for feed in feeds:
        begun = time.process_time()
        session.advance(feed, replayed=2)
        costs.append(time.process_time() - begun)
    return costs, len(feeds) * 4 + 2


def live_memory_per_event(steps: int) -> float:
    """Return the bytes that a session of so many steps keeps for each event, the events' own texts included."""
    from azure.durable_functions.replay import OrchestrationSession

    texts = [json.dumps(sequence_step(number, is_played=False)) for number in range(steps)]
    first = json.loads(json.dumps(started(steps + 1)))
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    session = OrchestrationSession(sequence, instance_id="instance-1")
    session.advance(first)
    for text in texts:
        session.advance(json.loads(text), replayed=2)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    session.close()
    return kept / (steps * 4 + 2)


# -- the whole ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="CPU and memory of replays")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, no fan-out of 10,000")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--fromisoformat", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(patched=options.fromisoformat)
        return
    from benchmarks.report import Report

    report = Report(QUESTION)
    if not REFERENCE_PYTHON.exists():
        print("(no .venv-reference: run scripts/reference-env to compare; ratios are null)")
    cold(report, quick=options.quick)
    live(report, quick=options.quick)
    report.close()


def cold(report: Any, *, quick: bool) -> None:
    """Report the cold replays."""
    has_reference = REFERENCE_PYTHON.exists()
    reference = Reference(patched=False) if has_reference else None
    patched = Reference(patched=True) if has_reference else None
    cases = [("sequence", 100, ">= 20"), ("sequence", 1000, ">= 20"), ("sequence", 5000, ">= 20")]
    if not quick:
        cases.append(("fan_out", 10_000, ">= 12"))
    for shape, events, goal in cases:
        repeats = max(3, (2_000 if quick else 20_000) // events)
        ours = cold_replay_us(shape, events, repeats)
        theirs = reference and reference.cold_replay_us(shape, events, max(2, repeats // 5))
        quicker = patched and patched.cold_replay_us(shape, events, max(2, repeats // 5))
        ours = min(ours, cold_replay_us(shape, events, repeats))
        name = f"{shape}_{events}"
        report.add(f"{name}_us_per_event", ours, "us")
        report.add(f"{name}_reference_us_per_event", theirs, "us")
        report.add(f"{name}_ratio", theirs and theirs / ours, "x", goal)
        report.add(f"{name}_ratio_fromisoformat", quicker and quicker / ours, "x", ">= 3")
    for process in (reference, patched):
        if process is not None:
            process.close()


def live(report: Any, *, quick: bool) -> None:
    """Report the live sequence."""
    steps = 1000
    runs = [live_step_costs(steps)[0] for _ in range(1 if quick else 5)]
    best = [min(costs) for costs in zip(*runs, strict=True)]
    report.add("live_sequence_1000_s", min(sum(costs) for costs in runs), "s", "<= 1")
    report.add("live_step_us", sum(best) / steps * 1e6, "us")
    report.add("live_step_at_1000_by_at_100", sum(best[-100:]) / sum(best[50:150]), "x", "<= 1.5")
    report.add("live_bytes_per_event", live_memory_per_event(steps), "bytes", "<= 450")


if __name__ == "__main__":
    main()
