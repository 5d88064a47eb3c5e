"""Recorded scenarios of the extension, played with the JSON protocol driving an SDK: ours here, the official one apart.

As a program, ``python -m tests.support.played SCENARIO OPTIONS FILE ENVIRONMENT`` plays one with the official SDK of a
virtual environment and leaves what came of it in the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import reference
from tests.support.http_target import calling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tests.support.lab import Answer

ROOT = Path(__file__).resolve().parents[2]
PLAY_SECONDS = 120


@dataclass(slots=True)
class Played:
    """What came of a scenario."""

    answers: list[Answer]
    puts: list[tuple[str, int, str]]
    triggers: list[tuple[str, str, str]]
    rows: Counter[tuple[str, str, str]]
    blobs: Counter[str]
    ends: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Status and output of the instances that end otherwise here."""

    def with_texts(self, change: Callable[[str], str]) -> Played:
        """Return the same with every text changed."""
        return Played(
            [replace(each, body=change(each.body)) for each in self.answers],
            [(queue, hidden, change(text)) for queue, hidden, text in self.puts],
            [(kind, name, change(text)) for kind, name, text in self.triggers],
            Counter((table, key, change(text)) for table, key, text in self.rows.elements()),
            self.blobs,
            self.ends,
        )


async def play(
    scenario: str,
    *,
    otherwise: Collection[str] = (),
    without: Collection[str] = (),
    waits: bool = True,
    target: str | None = None,
) -> Played:
    """Play a scenario with the SDK of this process.

    Args:
        scenario: its name.
        otherwise: instances that do not end as recorded.
        without: those whose rows are left out.
        waits: whether the others are waited for until they have.
        target: base of the server to call, for the scenario that calls one.
    """
    from taskhub.storage.memory import open_memory
    from tests.support.extension_state import recorded_statuses, stored_blobs, stored_rows
    from tests.support.lab import running_lab

    storage = open_memory(now=_now)
    change = None if target is None else calling(target)
    async with running_lab(scenario, storage, change=change, by_json=True) as (module, lab):
        await module.drive(lab)
        ends = {}
        for instance_id in otherwise:
            await lab.wait(instance_id)
            seen = await lab.status(instance_id)
            ends[instance_id] = (seen["runtimeStatus"], seen["output"])
        for instance_id, status in recorded_statuses(scenario).items() if waits else ():
            if instance_id not in otherwise:
                await lab.wait(instance_id, {status})
    rows = await stored_rows(storage, scenario, without=without)
    blobs = await stored_blobs(storage, scenario)
    await storage.aclose()
    return Played(lab.answers, lab.notes.puts, lab.notes.triggers, rows, blobs, ends)


def _now() -> Any:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc)


def play_officially(
    scenario: str,
    folder: Path,
    *,
    otherwise: Collection[str] = (),
    without: Collection[str] = (),
    waits: bool = True,
    target: str | None = None,
) -> Played:
    """Play a scenario with the official SDK, in a process of its own.

    Args:
        scenario: its name.
        folder: for what it leaves.
        otherwise: as in :func:`play`.
        without: likewise.
        waits: likewise.
        target: likewise.

    Raises:
        AssertionError: it did not come to its end.
    """
    file = folder / f"{scenario}.pickle"
    options = json.dumps({"otherwise": list(otherwise), "without": list(without), "waits": waits, "target": target})
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.played", scenario, options, str(file), str(reference.environment())],
        cwd=ROOT,
        env={**os.environ, **reference.WITHOUT_AGENTS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PLAY_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    played = pickle.loads(file.read_bytes())
    assert isinstance(played, Played)
    return played


def _main(scenario: str, options: str, file: str, environment: str) -> None:
    from taskhub.host.app_environment import enter_environment, find_environment
    from taskhub.host.official_sdk import SdkChoice, use_sdk

    enter_environment(find_environment(Path(file).parent, {"VIRTUAL_ENV": environment}).folders)
    use_sdk(SdkChoice.OFFICIAL)
    from tests.support import played  # so that what is pickled is known by this name

    result = asyncio.run(played.play(scenario, **json.loads(options)))
    Path(file).write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])
