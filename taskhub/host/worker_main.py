"""Where a worker process begins: the packages of the app and its SDK come before everything else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from taskhub.host.app_environment import enter_environment, find_environment
from taskhub.host.imports import importing
from taskhub.host.official_sdk import SdkChoice, use_sdk


def main(text: str) -> int:
    """Run a worker process by its :class:`taskhub.host.workers.WorkerProcessOptions`; return its exit code."""
    words = json.loads(text)
    enter_environment(find_environment(Path(words["app_root"]), os.environ).folders)
    with importing():
        sdk = use_sdk(SdkChoice(words["sdk"]))
        from taskhub.host.worker_process import run_worker_process  # needs an SDK
        from taskhub.host.workers import WorkerProcessOptions

    return run_worker_process(WorkerProcessOptions.of(text), sdk)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
