"""What importing the package costs, and an app on it.

Run as ``python -m benchmarks.imports [--rounds N]``. The official package is measured in its own environment, made by
``scripts/reference-env``, with the same version of ``azure.functions``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Report

ROOT = Path(__file__).parent.parent
REFERENCE_PYTHON = ROOT / ".venv-reference" / "bin" / "python"

QUESTION = """
How much CPU and memory does it cost to import this package, in comparison with azure-functions-durable 1.7.0?

A fresh interpreter each time, both packages in turns, bytecode compiled before and kept apart. CPU is that of the
process, the least of all rounds; memory is what the resident set grows by, the median. "import" is the bare import.
"app" is an app whose functions are indexed: one orchestrator, one activity, one HTTP function with a client, with
annotations that are evaluated. "in_worker" is the same app where azure.functions is loaded already, as it is in the
Functions worker. "library" is azure.functions alone, which both must load for an app: nothing can be below its share.
"""

IMPORT = "import azure.durable_functions"
LIBRARY = "import azure.functions"
APP = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp()

@app.orchestration_trigger(context_name="context")
def orchestrate(context: df.DurableOrchestrationContext):
    return (yield context.call_activity("hello", "Oslo"))

@app.activity_trigger(input_name="city")
def hello(city: str) -> str:
    return f"Hello {city}"

@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    return client.create_check_status_response(req, await client.start_new("orchestrate"))

assert len(app.get_functions()) == 3
"""
CASES = {"import": ("", IMPORT), "library": ("", LIBRARY), "app": ("", APP), "in_worker": (LIBRARY, APP)}
"""What is loaded before, and what is measured."""

GOAL_PERCENT = 60

MEASURE = """
import sys, time

def resident_kb():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * {page_kb}
    except OSError:
        return None

exec(sys.argv[1])
kb, began = resident_kb(), time.process_time()
exec(sys.argv[2])
seconds = time.process_time() - began
print(seconds * 1000, "-" if kb is None else resident_kb() - kb)
"""


@dataclass(frozen=True)
class Cost:
    """What a case costs."""

    cpu_ms: float
    memory_kb: float | None
    """``None`` where there is no ``/proc``."""


def measure(python: str, case: str, bytecode: str) -> Cost:
    """Run a case once, in an interpreter of its own."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    source = MEASURE.format(page_kb=os.sysconf("SC_PAGE_SIZE") // 1024)
    done = subprocess.run(
        [python, "-c", source, *CASES[case]],
        env={**environment, "PYTHONPYCACHEPREFIX": bytecode},
        cwd=bytecode,
        check=True,
        capture_output=True,
        text=True,
    )
    cpu, memory = done.stdout.split()
    return Cost(float(cpu), None if memory == "-" else float(memory))


def compare(pythons: dict[str, str], case: str, rounds: int, bytecode: str) -> dict[str, Cost]:
    """Run a case in each environment, in turns; the first round only compiles."""
    costs: dict[str, list[Cost]] = {name: [] for name in pythons}
    for _ in range(rounds + 1):
        for name, python in pythons.items():
            costs[name].append(measure(python, case, bytecode))
    return {name: _summary(several[1:]) for name, several in costs.items()}


def _summary(costs: list[Cost]) -> Cost:
    memory = [cost.memory_kb for cost in costs if cost.memory_kb is not None]
    return Cost(min(cost.cpu_ms for cost in costs), statistics.median(memory) if memory else None)


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="interpreters for each figure")
    rounds = parser.parse_args().rounds
    report = Report(QUESTION)
    pythons = {"ours": sys.executable}
    if REFERENCE_PYTHON.exists():
        pythons["reference"] = str(REFERENCE_PYTHON)
    else:
        print("(no .venv-reference: run scripts/reference-env to compare; percentages are null)")
    with tempfile.TemporaryDirectory() as bytecode:
        for case in CASES:
            _add(report, case, compare(pythons, case, rounds, bytecode))
    report.close()


def _add(report: Report, case: str, costs: dict[str, Cost]) -> None:
    goal = "" if case == "library" else f"<= {GOAL_PERCENT}"
    for what, unit in (("cpu_ms", "ms"), ("memory_kb", "KB")):
        figures = {name: getattr(cost, what) for name, cost in costs.items()}
        for name, figure in figures.items():
            report.add(f"{case}_{what}_{name}", figure, unit)
        ours, theirs = figures["ours"], figures.get("reference")
        known = ours is not None and theirs is not None
        report.add(f"{case}_{what}_percent", 100 * ours / theirs if known else None, "%", goal)


if __name__ == "__main__":
    main()
