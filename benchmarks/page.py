"""The tables of docs/benchmarks.md, made from a run of the benchmarks.

The text of the page is written by hand; what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` is not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.calls import FAST, REFERENCE
from benchmarks.report import in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PAGE = Path(__file__).parents[1] / "docs/benchmarks.md"
NONE = "–"  # noqa: RUF001 (a dash for what was not measured)

OFFICIAL_SECONDS = {"fan_out_1000": 11.4, "sequence_100": 3.9, "hello_200": 8.2, "hello_1000": 59.0}
OFFICIAL_IDLE_MS = {"p50": 81.0, "max": 36_000.0}
OFFICIAL_CPU_MS = 28.0
OFFICIAL_RSS_MB = 232.0
"""The official stack (extension with Python functions, Azurite in memory, 2 cores), as recorded once on a machine of
this kind and written into issue 9; not measured in these runs."""

Row = tuple[str, ...]


class Result:
    """A run of the benchmarks.

    Args:
        document: as ``benchmarks.results`` wrote it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.benchmarks: Mapping[str, Mapping[str, Any]] = document["benchmarks"]

    def figures(self, benchmark: str) -> Mapping[str, float | None]:
        """Return the figures of a benchmark; none when it was not run or failed."""
        found: Mapping[str, float | None] = self.benchmarks.get(benchmark, {}).get("figures", {})
        return found

    def figure(self, benchmark: str, name: str) -> float | None:
        """Return a figure; ``None`` when there is none."""
        return self.figures(benchmark).get(name)

    def loads(self) -> list[str]:
        """Return the loads of ``end_to_end`` that were measured on a store, as ``fan_out_1000``."""
        known: dict[str, None] = {}
        for store in ("azurite", "embedded"):
            for name in self.figures(f"end_to_end-{store}"):
                if found := re.fullmatch(r"((?:fan_out|sequence|hello)_\d+)_s", name):
                    known[found[1]] = None
        return list(known)


# ---- tables


def shown(value: float | None, digits: int = 3) -> str:
    """Return a figure for people: ``1,234``, ``12.3``, ``0.123``."""
    if value is None:
        return NONE
    if value == 0 or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.6f}".rstrip("0")


def divided(value: float | None, by: float | None) -> float | None:
    """Return a quotient, ``None`` where a part is missing."""
    return None if value is None or not by else value / by


def taken(result: Result) -> list[Row]:
    """Say when, where and how the run was."""
    document = result.document
    rows: list[Row] = [
        ("", ""),
        ("taken", f"{document['taken']}, commit `{document['commit']}`"),
        ("loads", "quick: smaller ones, so few goals apply" if document["quick"] else "whole"),
        ("machine", in_words(document["machine"]).replace("\n", "<br>")),
    ]
    if document["note"]:
        rows.append(("note", f"**{document['note']}**"))
    rows.append(("time", f"{sum(each['seconds'] for each in result.benchmarks.values()) / 60:.1f} minutes"))
    if notes := [f"{name}, {text}" for name, each in result.benchmarks.items() for text in each.get("notes", [])]:
        rows.append(("notes", "<br>".join(notes)))
    if failed := [f"{name}: {each['failed']}" for name, each in result.benchmarks.items() if "failed" in each]:
        rows.append(("**failed**", "<br>".join(failed)))
    return rows


def commands(result: Result) -> list[Row]:
    """Return what was run, and the load of the machine before each."""
    rows: list[Row] = [("benchmark", "command", "seconds", "load before")]
    for name, each in result.benchmarks.items():
        rows.append((name, f"`{each['command']}`", shown(each["seconds"]), shown(each["load"])))
    return rows


def goals(result: Result) -> list[Row]:
    """Return every figure that has a goal; of counted transactions only those with all shortcuts."""
    rows: list[Row] = [("benchmark", "figure", "value", "unit", "goal", "")]
    for benchmark, each in result.benchmarks.items():
        for name, goal in each["goals"].items():
            if name.startswith(("classic_", "warm_")):
                continue  # as the reference, by which they are counted
            value, unit = each["figures"][name], each["units"][name]
            rows.append((benchmark, f"`{name}`", shown(value), unit, goal, verdict(value, goal)))
    return rows


def verdict(value: float | None, goal: str) -> str:
    """Return whether a figure meets its goal: ``<= 4``, ``>= 20`` or ``< 8``."""
    found = re.fullmatch(r"(<=|>=|<) ([\d.,]+)", goal)
    if value is None or found is None:
        return NONE
    limit = float(found[2].replace(",", ""))
    return "met" if {"<=": value <= limit, ">=": value >= limit, "<": value < limit}[found[1]] else "**not met**"


def end_to_end(store: str) -> Callable[[Result], list[Row]]:
    """Return the table of the three ways on a store."""

    def table(result: Result) -> list[Row]:
        benchmark = f"end_to_end-{store}"
        rows: list[Row] = [
            (
                "load",
                "official stack",
                "classic",
                "shortcuts",
                "skeleton",
                "classic : shortcuts",
                "shortcuts : skeleton",
            )
        ]

        def add(name: str, official: float | None, figure: str, unit: str) -> None:
            classic, fast, bare = (result.figure(benchmark, f"{way}{figure}") for way in ("classic_", "", "skeleton_"))
            ratios = (divided(classic, fast), divided(fast, bare))
            values = (official if store == "azurite" else None, classic, fast, bare)
            cells = (f"{shown(value)} {unit}" if value is not None else NONE for value in values)
            rows.append((name, *cells, *(NONE if ratio is None else f"{ratio:.1f}" for ratio in ratios)))

        for load in result.loads():
            add(load.replace("_", " "), OFFICIAL_SECONDS.get(load), f"{load}_s", "s")
        for load in result.loads():
            if load.startswith("hello"):
                official = OFFICIAL_CPU_MS if load == "hello_200" else None
                add(f"{load.replace('_', ' ')}, CPU of each", official, f"{load}_cpu_ms", "ms")
        for suffix, words in (("p50", "p50"), ("p95", "p95"), ("max", "worst")):
            add(f"idle hello, {words}", OFFICIAL_IDLE_MS.get(suffix), f"idle_hello_ms_{suffix}", "ms")
            add(f"idle hello from elsewhere, {words}", None, f"idle_hello_from_elsewhere_ms_{suffix}", "ms")
        add("idle memory", OFFICIAL_RSS_MB, "idle_rss_mb", "MB")
        return [row for row in rows if row[2:5] != (NONE, NONE, NONE)]

    return table


def calls(result: Result) -> list[Row]:
    """Return the counts of storage transactions, those of the client among them."""
    rows: list[Row] = [("instance", "DurableTask.AzureStorage", "classic", "warm", "fast", "goal of fast")]
    for name, (worker, client) in REFERENCE.items():
        ours = []
        for mode in ("classic", "warm", "fast"):
            parts = [result.figure("calls", f"{mode}_{name}_{who}") for who in ("worker", "client")]
            ours.append(NONE if None in parts else shown(sum(part or 0 for part in parts)))
        goal = f"<= {FAST[name] + client}" if name in FAST else ""
        rows.append((name.replace("_", " "), str(worker + client), *ours, goal))
    for name, value in result.figures("calls").items():
        if found := re.fullmatch(r"idle_minute_(\w+)", name):
            rows.append((f"idle minute, leases by {found[1]}", NONE, NONE, NONE, shown(value), ""))
    return rows


def client(result: Result) -> list[Row]:
    """Return what storage calls cost."""
    rows: list[Row] = [
        ("call", "CPU p50, ours", "official", "ratio", "wall p50, ours", "official", "wall p95, ours", "official")
    ]
    figures = result.figures("client")
    for name in figures:
        if found := re.fullmatch(r"(\w+)_ours_cpu_p50", name):
            kind = found[1]
            cpu = [figures.get(f"{kind}_{who}_cpu_p50") for who in ("ours", "official")]
            wall = [figures.get(f"{kind}_{who}_wall_{p}") for p in ("p50", "p95") for who in ("ours", "official")]
            ratio = figures.get(f"{kind}_cpu_ratio")
            rows.append(
                (
                    kind.replace("_", " "),
                    *(f"{shown(value)} µs" for value in cpu),
                    NONE if ratio is None else f"{ratio:.1f}",
                    *(f"{shown(value)} µs" for value in wall),
                )
            )
    return rows


def emulator(result: Result) -> list[Row]:
    """Return the limits of the emulator."""
    rows: list[Row] = [
        ("request", "alone, p50", "p95", "p99", "per second", "32 at once, p50", "p95", "p99", "per second")
    ]
    figures = result.figures("azurite")
    for name in ("put", "get", "delete", "read", "batch_1", "batch_100"):
        cells = []
        for way in ("alone", "at_once_32"):
            cells += [f"{shown(figures.get(f'{name}_{way}_ms_{p}'))} ms" for p in ("p50", "p95", "p99")]
            cells.append(shown(figures.get(f"{name}_{way}_per_second")))
        rows.append((name.replace("_", " "), *cells))
    return rows


def emulator_cpu(result: Result) -> list[Row]:
    """Return what a request costs both sides."""
    rows: list[Row] = [("request", "CPU of the emulator", "CPU of a bare client")]
    figures = result.figures("azurite")
    for name in ("message", "read", "batch_1", "batch_100"):
        cells = (f"{shown(figures.get(f'{name}_{side}_cpu_ms'))} ms" for side in ("emulator", "client"))
        rows.append((name.replace("_", " "), *cells))
    return rows


def memory(result: Result) -> list[Row]:
    """Return what instances that wait take."""
    rows: list[Row] = [("figure", "value", "unit")]
    each = result.benchmarks.get("memory", {"figures": {}, "units": {}})
    rows += [
        (name.replace("_", " "), shown(value), each["units"][name])
        for name, value in each["figures"].items()
        if not re.search(r"_wake_up_ms_", name)
    ]
    return rows


def wake_ups(result: Result) -> list[Row]:
    """Return how fast they wake up."""
    rows: list[Row] = [("instance", "p50", "p95", "p99", "worst")]
    for name, words in WAKE_UPS.items():
        values = (result.figure("memory", f"{name}_wake_up_ms_{suffix}") for suffix in ("p50", "p95", "p99", "max"))
        rows.append((words, *(f"{shown(value)} ms" for value in values)))
    return rows


WAKE_UPS = {
    "live": "warm",
    "cold": "not in memory, after a restart",
    "lru_warm": "warm, beside evicted ones",
    "lru_cold": "evicted",
}


def scale(result: Result) -> list[Row]:
    """Return what more hosts do."""
    rows: list[Row] = [
        (
            "store",
            "hosts",
            "hellos per second",
            "by one host",
            "shares",
            "cores busy",
            "activities per second",
            "by one host",
            "shares",
            "cores busy",
        )
    ]
    for store in ("azurite", "embedded"):
        figures = result.figures(f"scale-{store}")
        for count in (1, 2, 4):
            cells = []
            for load in ("hello", "activities"):
                prefix = f"hosts_{count}_{load}"
                least, most = (figures.get(f"{prefix}_share_{end}") for end in ("least", "most"))
                cells += [shown(figures.get(f"{prefix}_per_second")), shown(figures.get(f"{prefix}_by_one"))]
                cells += [f"{shown(least)} to {shown(most)} %", shown(figures.get(f"{prefix}_cores_busy"))]
            if figures:
                rows.append((store, str(count), *cells))
    return rows


def all_of(benchmark: str) -> Callable[[Result], list[Row]]:
    """Return a table of all figures of a benchmark."""

    def table(result: Result) -> list[Row]:
        each = result.benchmarks.get(benchmark, {"figures": {}, "units": {}, "goals": {}})
        rows: list[Row] = [("figure", "value", "unit", "goal")]
        return rows + [
            (f"`{name}`", shown(value), each["units"][name], each["goals"].get(name, ""))
            for name, value in each["figures"].items()
        ]

    return table


TABLES: Mapping[str, Callable[[Result], list[Row]]] = {
    "taken": taken,
    "commands": commands,
    "goals": goals,
    "end to end on azurite": end_to_end("azurite"),
    "end to end on the embedded store": end_to_end("embedded"),
    "calls": calls,
    "client": client,
    "emulator": emulator,
    "emulator cpu": emulator_cpu,
    "memory": memory,
    "wake-ups": wake_ups,
    "scale": scale,
    "long history": all_of("long_history"),
    "replay": all_of("replay"),
    "http front": all_of("http_front"),
    "imports": all_of("imports"),
}


def page_with_tables(text: str, result: Result) -> str:
    """Return the page with the tables of a run.

    Raises:
        ValueError: the page has no place for one of them.
    """
    for name, rows_of in TABLES.items():
        head, *rows = (f"| {' | '.join(row)} |" for row in rows_of(result))
        columns = head.count("|") - 1
        table = "\n".join([head, "|" + "---|" * columns, *rows])
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not (begun and ended):
            raise ValueError(f"{PAGE.name} has no place for {name}")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text
