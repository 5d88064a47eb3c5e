"""The tests of the sample app, run as its readers run them: in a process of their own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_tests_of_the_sample_app_pass():
    command = [sys.executable, "-m", "pytest", "function_app/tests", "-p", "no:cacheprovider"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
