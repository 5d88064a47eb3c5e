"""The page on testing: its app and its tests, run by pytest as a reader runs them."""

import json
import subprocess
import sys
from pathlib import Path

from azure.durable_functions.testing import DurableWorld

from tests.support.pages import blocks

PAGE = Path(__file__).parents[3] / "docs/howto/testing.md"


def record(folder):
    """Record an instance that waits, and one of code that sent letters."""
    with DurableWorld() as world:
        world.load(folder)
        world.fake("send_mail", returns=None)
        history = world.start("approval", {"amount": 5}).history
    (folder / "approval-waiting.json").write_text(json.dumps(history))
    (folder / "approval-by-letter.json").write_text(json.dumps(history).replace("send_mail", "send_letter"))


def test_the_tests_of_the_page_pass(tmp_path):
    app, tests, crashes, replays = blocks(PAGE, "python")
    (tmp_path / "function_app.py").write_text(app)
    (tmp_path / "test_approval.py").write_text(tests)
    (tmp_path / "test_crashes.py").write_text(crashes)
    (tmp_path / "test_replays.py").write_text(replays)
    record(tmp_path)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout
