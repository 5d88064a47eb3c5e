"""Apps in the shape of the public samples have the same functions and bindings on our SDK and on the official one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.reference import environment

ROOT = Path(__file__).parents[3]
SAMPLES = sorted(path for path in (ROOT / "tests/apps/samples").iterdir() if path.is_dir())
BRING_A_STORAGE_CLIENT = {"v1_fan_in_fan_out", "v2_fan_in_fan_out"}
"""The environment of the official package has none."""
ACCOUNT = "DefaultEndpointsProtocol=https;AccountName=nobody;AccountKey=bm9ib2R5;EndpointSuffix=core.windows.net"


def indexed(python):
    done = subprocess.run(
        [python, "-B", str(ROOT / "tests/support/index_apps.py"), *map(str, SAMPLES)],
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "AzureWebJobsStorage": ACCOUNT,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(folder).name: functions for folder, functions in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def ours():
    return indexed(sys.executable)


@pytest.fixture(scope="module")
def official():
    return indexed(environment() / "bin/python")


@pytest.mark.parametrize("sample", [path.name for path in SAMPLES])
def test_a_sample_has_functions(ours, sample):
    assert isinstance(ours[sample], dict), ours[sample]
    assert ours[sample]


@pytest.mark.parametrize("sample", [path.name for path in SAMPLES if path.name not in BRING_A_STORAGE_CLIENT])
def test_a_sample_is_the_same_to_both_packages(ours, official, sample):
    assert ours[sample] == official[sample]
