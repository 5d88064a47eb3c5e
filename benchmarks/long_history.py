"""What does an instance with a very long history cost, and a very wide fan-out?

``history``: an instance that has called 25,000 activities one by one and waits for the last one, written straight into
an embedded store; then a fresh process loads its 100,000 events, replays them, and commits the end. ``fan-out``: 10,000
activities at once, on the same kind of store, from the start to the end. Each in a process of its own, so that its peak
of memory is its own.

Usage: ``python -m benchmarks.long_history [--quick]``. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from taskhub import TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.storage.sqlite import open_sqlite
from tests.support.long_history import EVENTS_PER_STEP, answer_last, steps, write_history
from tests.support.plain_application import PlainApplication

SETTINGS = TaskHubSettings(hub_name="Long", use_app_lease=False, max_concurrent_activities=200)
LONG = InstanceId("long")


def fan_out(context: Any) -> Any:
    """Call N activities at once."""
    results = yield context.task_all([context.call_activity("Echo", n) for n in range(int(context.get_input()))])
    return sum(results)


async def write(path: Path, count: int) -> dict[str, float]:
    storage = await open_sqlite(path)
    began = time.perf_counter()
    await write_history(storage, SETTINGS, LONG, count)
    await answer_last(storage, SETTINGS, LONG, count)
    took = time.perf_counter() - began
    await storage.aclose()
    return {"seconds": took}


async def finish(path: Path, count: int) -> dict[str, float]:
    return await work(path, LONG, sum(range(count)))


async def wide(path: Path, count: int) -> dict[str, float]:
    return await work(path, None, sum(range(count)), count)


async def work(path: Path, instance_id: InstanceId | None, expected: int, count: int = 0) -> dict[str, float]:
    """Work until the instance has ended; return how long it took and how much memory."""
    before = _peak()
    storage = await open_sqlite(path)
    app = PlainApplication({"Steps": steps, "Fan": fan_out}, {"Echo": lambda value: value})
    worker = Worker(storage, SETTINGS, app, worker_id=WorkerId("worker"))
    stop = asyncio.Event()
    began = time.perf_counter()
    running = asyncio.create_task(worker.run(stop))
    if instance_id is None:
        instance_id = await worker.client.start("Fan", input=str(count))
    while True:
        state = await worker.client.get(instance_id)
        if state is not None and state.status is not None and state.status.is_terminal:
            break
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    if json.loads(state.output or "null") != expected:
        raise RuntimeError(f"{instance_id} is {state.status} with {state.output}")
    stop.set()
    await running
    await storage.aclose()
    return {"seconds": took, "megabytes": _peak() - before}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


PHASES = {"write": write, "finish": finish, "wide": wide}


def in_a_process(phase: str, path: Path, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.long_history", "--phase", phase, str(path), str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--phase", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        phase, path, count = options.phase
        print(json.dumps(asyncio.run(PHASES[phase](Path(path), int(count)))))
        return
    divisor = 10 if options.quick else 1
    steps_done, width = 25_000 // divisor, 10_000 // divisor
    report = Report(__doc__.partition("\n\nUsage")[0])
    with tempfile.TemporaryDirectory() as folder:
        history, fan = Path(folder) / "history.db", Path(folder) / "fan.db"
        events = EVENTS_PER_STEP * steps_done
        report.add("history_events", events, "events")
        report.add("history_write_seconds", in_a_process("write", history, steps_done)["seconds"], "s")
        found = in_a_process("finish", history, steps_done)
        report.add("history_load_replay_commit_seconds", found["seconds"], "s")
        report.add("history_peak_megabytes", found["megabytes"], "MB")
        report.add("history_peak_bytes_per_event", found["megabytes"] * 1e6 / events, "B", "<= 1,500")
        found = in_a_process("wide", fan, width)
        report.add("fan_out_width", width, "")
        report.add("fan_out_seconds", found["seconds"], "s")
        report.add("fan_out_peak_megabytes", found["megabytes"], "MB")
    report.close()


if __name__ == "__main__":
    main()
