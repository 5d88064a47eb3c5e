"""Draws a run of the benchmarks, and writes the tables of docs/benchmarks.md anew.

Usage: ``python -m benchmarks.plots [FILE]``: a result of ``python -m benchmarks.results``; without one, the newest
whole run, or the newest quick one while there is none. Plots go to ``docs/benchmarks/*.svg``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.calls import REFERENCE
from benchmarks.page import OFFICIAL_SECONDS, PAGE, WAKE_UPS, Result, page_with_tables, shown
from benchmarks.results import RESULTS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PLOTS = ROOT / "docs/benchmarks"


def bars(
    path: Path, title: str, unit: str, groups: Sequence[str], series: Mapping[str, Sequence[float | None]]
) -> None:
    """Draw groups of bars on a logarithmic scale."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.2), layout="constrained")
    width = 0.8 / len(series)
    for index, (name, values) in enumerate(series.items()):
        places = [group + (index - (len(series) - 1) / 2) * width for group in range(len(groups))]
        drawn = [(place, value) for place, value in zip(places, values, strict=True) if value]
        bar = axes.bar([place for place, _ in drawn], [value for _, value in drawn], width * 0.92, label=name)
        axes.bar_label(bar, labels=[shown(value, 2) for _, value in drawn], fontsize=7, padding=1)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    if any(value for values in series.values() for value in values):
        axes.set_yscale("log")
        axes.margins(y=0.15)
    _finish(figure, axes, path, title, unit)


def lines(path: Path, title: str, unit: str, x: Sequence[int], series: Mapping[str, Sequence[float | None]]) -> None:
    """Draw a line for each of some series."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, values in series.items():
        axes.plot(x, [float("nan") if value is None else value for value in values], marker="o", label=name)
    axes.set_xticks(x)
    axes.set_xlabel("host processes")
    axes.set_ylim(bottom=0)
    _finish(figure, axes, path, title, unit)


def _finish(figure: Any, axes: Any, path: Path, title: str, unit: str) -> None:
    from matplotlib import pyplot

    axes.set_title(title, fontsize=10)
    axes.set_ylabel(unit)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)
    # Without a date and with ids from a seed, the same figures give the same file.
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def draw(result: Result, folder: Path) -> Iterator[Path]:
    """Draw all plots; yield each file."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "taskhub", "svg.fonttype": "none"})
    folder.mkdir(exist_ok=True)
    kind = " (quick run)" if result.document["quick"] else ""
    for store in ("azurite", "embedded"):
        loads = result.loads()
        series: dict[str, list[float | None]] = {}
        if store == "azurite" and not result.document["quick"]:
            series["official stack (recorded)"] = [OFFICIAL_SECONDS.get(load) for load in loads]
        for name, prefix in (("shortcuts off", "classic_"), ("shortcuts on", ""), ("bare storage calls", "skeleton_")):
            series[name] = [result.figure(f"end_to_end-{store}", f"{prefix}{load}_s") for load in loads]
        path = folder / f"end_to_end_{store}.svg"
        bars(path, f"End to end on {store}{kind}", "seconds", [load.replace("_", " ") for load in loads], series)
        yield path
    kinds = [name.removesuffix("_ours_cpu_p50") for name in result.figures("client") if name.endswith("_ours_cpu_p50")]
    cpu = {
        name: [result.figure("client", f"{kind}_{who}_cpu_p50") for kind in kinds]
        for name, who in (("official clients", "official"), ("ours", "ours"))
    }
    path = folder / "client.svg"
    bars(path, f"CPU of a storage call, median{kind}", "microseconds", [_words(each) for each in kinds], cpu)
    yield path
    requests = ("put", "get", "delete", "read", "batch_1", "batch_100")
    rates = {
        name: [result.figure("azurite", f"{request}_{way}_per_second") for request in requests]
        for name, way in (("alone", "alone"), ("32 at once", "at_once_32"))
    }
    path = folder / "azurite.svg"
    bars(path, f"Bare requests to Azurite{kind}", "per second", [each.replace("_", " ") for each in requests], rates)
    yield path
    shares = ("p50", "p95", "p99", "max")
    woken = {
        words: [result.figure("memory", f"{name}_wake_up_ms_{share}") for share in shares]
        for name, words in WAKE_UPS.items()
    }
    path = folder / "wake_ups.svg"
    bars(path, f"From an event to the end of an instance that waits for it{kind}", "milliseconds", shares, woken)
    yield path
    counts = list(REFERENCE)
    made: dict[str, list[float | None]] = {"DurableTask.AzureStorage": [float(sum(REFERENCE[name])) for name in counts]}
    for mode, words in (("classic", "shortcuts off"), ("fast", "shortcuts on")):
        made[words] = [
            (result.figure("calls", f"{mode}_{name}_worker") or 0)
            + (result.figure("calls", f"{mode}_{name}_client") or 0)
            for name in counts
        ]
    path = folder / "calls.svg"
    bars(path, "Storage transactions of an instance", "transactions", [_words(name) for name in counts], made)
    yield path
    hosts = (1, 2, 4)
    throughput = {
        f"{words}, {store}": [result.figure(f"scale-{store}", f"hosts_{count}_{load}_by_one") for count in hosts]
        for store in ("azurite", "embedded")
        for load, words in (("hello", "hellos"), ("activities", "activities of a fan-out"))
    }
    path = folder / "scale.svg"
    lines(path, f"Throughput of a hub by that with one host{kind}", "times", hosts, throughput)
    yield path


def _words(name: str) -> str:
    """Return a name as a label of two lines: its last word goes below."""
    return "\n".join(part.replace("_", " ") for part in name.rsplit("_", 1))


def newest() -> Path:
    """Return the newest whole run, or the newest quick one while there is none.

    Raises:
        SystemExit: there is no run.
    """
    runs = [(path, json.loads(path.read_text(encoding="utf-8"))) for path in RESULTS.glob("*.json")]
    if not runs:
        sys.exit(f"there is no run in {RESULTS}; python -m benchmarks.results makes one")
    return max(runs, key=lambda run: (not run[1]["quick"], run[1]["taken"]))[0]


def main() -> None:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots")
    parser.add_argument("file", type=Path, nargs="?", help="a result; the newest by default")
    file = parser.parse_args().file or newest()
    result = Result(json.loads(file.read_text(encoding="utf-8")))
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} shows {file.name}")
    for path in draw(result, PLOTS):
        print(f"drawn: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
