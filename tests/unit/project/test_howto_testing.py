"""The page on testing: its app and its tests, run by pytest as a reader runs them."""

import subprocess
import sys
from pathlib import Path

from tests.support.pages import blocks

PAGE = Path(__file__).parents[3] / "docs/howto/testing.md"


def test_the_tests_of_the_page_pass(tmp_path):
    app, tests, crashes, *_ = blocks(PAGE, "python")
    (tmp_path / "function_app.py").write_text(app)
    (tmp_path / "test_approval.py").write_text(tests)
    (tmp_path / "test_crashes.py").write_text(crashes)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout
