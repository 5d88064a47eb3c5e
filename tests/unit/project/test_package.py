"""What a user gets who installs the wheel."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # With the build backend at hand the test needs no network.
    here = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    _pip("wheel", "--no-deps", *here, "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    _pip("install", "--no-deps", "--target", str(folder), str(wheel))
    return folder


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()

    roots = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert roots == {"azure", "taskhub"}
    assert not [name for name in names if name.startswith("azure/") and not name.startswith("azure/durable_functions/")]
    assert {"azure/durable_functions/py.typed", "taskhub/py.typed"} <= set(names)


def test_the_azure_namespace_has_no_init_file(wheel):
    assert not (ROOT / "sdk/azure/__init__.py").exists()
    assert "azure/__init__.py" not in zipfile.ZipFile(wheel).namelist()


def test_the_wheel_installs_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))

    assert "taskhub = taskhub.cli.__main__:main" in archive.read(entry_points).decode()


def test_our_package_lives_beside_those_of_azure_in_one_namespace(installed):
    found = _python(
        installed,
        "import azure.functions, azure.data.tables, azure.storage.queue, azure.durable_functions",
        "print(azure.durable_functions.__file__)",
    )

    assert Path(found.strip()).is_relative_to(installed)


def test_importing_the_sdk_loads_neither_the_task_hub_nor_a_storage_client(installed):
    loaded = _python(
        installed,
        "import azure.durable_functions, sys",
        "print(*(name for name in sys.modules if name.startswith(('taskhub', 'azure.storage', 'azure.data'))))",
    )

    assert loaded.split() == []


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _python(installed: Path, *lines: str) -> str:
    """Run code on the installed wheel and the environment's packages, but not its link to this source tree.

    ``-S`` leaves out the ``.pth`` file that makes that link.
    """
    path = os.pathsep.join([str(installed), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [sys.executable, "-S", "-c", "\n".join(lines)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
