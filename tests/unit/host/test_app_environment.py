import sys

import pytest

from taskhub.host.app_environment import AppEnvironment, enter_environment, find_environment

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def put_venv(folder, *, python=PYTHON, functions=True):
    packages = folder / "lib" / python / "site-packages"
    (packages / "azure/functions" if functions else packages).mkdir(parents=True)
    (folder / "pyvenv.cfg").touch()
    return packages


def test_an_app_without_packages_of_its_own_uses_the_host_s(tmp_path):
    assert find_environment(tmp_path, {}) == AppEnvironment()


def test_vendored_packages_come_before_those_of_the_virtual_environment(tmp_path):
    vendored = tmp_path / ".python_packages/lib/site-packages"
    vendored.mkdir(parents=True)
    packages = put_venv(tmp_path / ".venv")

    assert find_environment(tmp_path, {}).folders == (vendored, packages)


def test_an_activated_environment_counts_before_that_in_the_folder(tmp_path):
    put_venv(tmp_path / ".venv")
    activated = put_venv(tmp_path / "activated")

    assert find_environment(tmp_path, {"VIRTUAL_ENV": str(tmp_path / "activated")}).folders == (activated,)


@pytest.mark.parametrize("functions", [True, False])
def test_an_activated_environment_without_functions_is_not_the_app_s(tmp_path, functions):
    put_venv(tmp_path / "activated", functions=False)
    packages = put_venv(tmp_path / ".venv", functions=functions)

    found = find_environment(tmp_path, {"VIRTUAL_ENV": str(tmp_path / "activated")})

    assert found.folders == ((packages,) if functions else ())


def test_a_host_in_the_activated_environment_has_all_packages(tmp_path):
    put_venv(tmp_path / ".venv")

    assert find_environment(tmp_path, {"VIRTUAL_ENV": sys.prefix}) == AppEnvironment()


def test_packages_for_another_python_are_left_out_with_a_remark(tmp_path):
    put_venv(tmp_path / ".venv", python="python3.6")

    found = find_environment(tmp_path, {})

    assert found.folders == ()
    assert f"The packages in {tmp_path}/.venv are not used: they are for Python 3.6" in found.warning
    assert f"{tmp_path}/.venv/bin/python -m pip install durable-taskhub" in found.warning


def test_entered_folders_come_first_with_what_their_pth_files_name(tmp_path, monkeypatch):
    first, second, named = tmp_path / "first", tmp_path / "second", tmp_path / "named"
    for folder in (first, second, named):
        folder.mkdir()
    (second / "editable.pth").write_text(f"{named}\n")
    monkeypatch.setattr(sys, "path", ["/before", *sys.path])

    enter_environment([first, second])

    assert sys.path[:4] == [str(first), str(second), str(named), "/before"]
