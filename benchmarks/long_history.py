"""What does an instance with a very long history cost, and a very wide fan-out?

``history``: an instance that has called 25,000 activities one by one and waits for the last one, written straight into
a store; then a fresh process loads its 100,000 events, replays them, and commits the end. ``fan-out``: 10,000
activities at once, on the same kind of store, from the start to the end. Each in a process of its own, so that its peak
of memory is its own. Both are also done at a quarter of the size: ``growth`` is how many times the CPU of our process
is spent at the whole size, 4 when it grows as the size does, 16 when as its square.

Azurite looks at every stored message for every call of a queue, so its own time for a fan-out grows as the square: a
fan-out of 2,500 takes it 35 seconds, one of 10,000 more than ten minutes. There the fan-outs are a quarter as wide.

Usage: ``python -m benchmarks.long_history [--quick] [--storage azurite]``. The last line is one JSON object of named
figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Report
from taskhub import TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.storage.azure import open_azure
from taskhub.storage.sqlite import open_sqlite
from tests.support.azurite import running_azurite
from tests.support.long_history import EVENTS_PER_STEP, answer_last, steps, write_history
from tests.support.plain_application import PlainApplication

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskhub.storage.port import Storage

SETTINGS = TaskHubSettings(hub_name="Long", use_app_lease=False, max_concurrent_activities=200)
LONG = InstanceId("long")


def fan_out(context: Any) -> Any:
    """Call N activities at once."""
    results = yield context.task_all([context.call_activity("Echo", n) for n in range(int(context.get_input()))])
    return sum(results)


async def open_at(place: str) -> Storage:
    """Open a store: a connection string of an account, or the path of an embedded one."""
    if "AccountName=" in place:
        return await open_azure(connection_string=place)
    return await open_sqlite(Path(place))


async def write(place: str, count: int) -> dict[str, float]:
    storage = await open_at(place)
    began, cpu = time.perf_counter(), time.process_time()
    await write_history(storage, SETTINGS, LONG, count)
    await answer_last(storage, SETTINGS, LONG, count)
    took = time.perf_counter() - began
    await storage.aclose()
    return {"seconds": took, "cpu": time.process_time() - cpu}


async def finish(place: str, count: int) -> dict[str, float]:
    return await work(place, LONG, sum(range(count)))


async def wide(place: str, count: int) -> dict[str, float]:
    return await work(place, None, sum(range(count)), count)


async def work(place: str, instance_id: InstanceId | None, expected: int, count: int = 0) -> dict[str, float]:
    """Work until the instance has ended; return how long it took and how much memory."""
    before = _peak()
    storage = await open_at(place)
    app = PlainApplication({"Steps": steps, "Fan": fan_out}, {"Echo": lambda value: value})
    worker = Worker(storage, SETTINGS, app, worker_id=WorkerId("worker"))
    stop = asyncio.Event()
    began, cpu = time.perf_counter(), time.process_time()
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
    return {"seconds": took, "cpu": time.process_time() - cpu, "megabytes": _peak() - before}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


PHASES = {"write": write, "finish": finish, "wide": wide}


def in_a_process(phase: str, place: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.long_history", "--phase", phase, place, str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--storage", choices=("embedded", "azurite"), default="embedded")
    parser.add_argument("--phase", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        phase, path, count = options.phase
        print(json.dumps(asyncio.run(PHASES[phase](path, int(count)))))
        return
    divisor = 10 if options.quick else 1
    steps_done, width = 25_000 // divisor, (2_500 if options.storage == "azurite" else 10_000) // divisor
    report = Report(__doc__.partition("\n\nUsage")[0])
    quarter = measured(options.storage, steps_done // 4, width // 4)
    whole = measured(options.storage, steps_done, width)
    events = EVENTS_PER_STEP * steps_done
    report.add("history_events", events, "events")
    report.add("history_write_seconds", whole["write"]["seconds"], "s")
    report.add("history_load_replay_commit_seconds", whole["finish"]["seconds"], "s")
    report.add("history_growth", whole["finish"]["cpu"] / quarter["finish"]["cpu"], "", "< 8")
    report.add("history_peak_megabytes", whole["finish"]["megabytes"], "MB")
    report.add("history_peak_bytes_per_event", whole["finish"]["megabytes"] * 1e6 / events, "B", "<= 1,500")
    report.add("fan_out_width", width, "")
    report.add("fan_out_seconds", whole["wide"]["seconds"], "s")
    report.add("fan_out_growth", whole["wide"]["cpu"] / quarter["wide"]["cpu"], "", "< 8")
    report.add("fan_out_peak_megabytes", whole["wide"]["megabytes"], "MB")
    report.close()


def measured(kind: str, steps_done: int, width: int) -> dict[str, dict[str, float]]:
    """Run every phase at a size, on fresh stores."""
    found = {}
    with fresh_store(kind) as place:
        found["write"] = in_a_process("write", place, steps_done)
        found["finish"] = in_a_process("finish", place, steps_done)
    with fresh_store(kind) as place:
        found["wide"] = in_a_process("wide", place, width)
    return found


@contextlib.contextmanager
def fresh_store(kind: str) -> Iterator[str]:
    """Give the place of an empty store."""
    if kind == "azurite":
        with running_azurite() as emulator:
            yield emulator.connection_string
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield f"{folder}/hub.db"


if __name__ == "__main__":
    main()
