import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from taskhub.host.official_sdk import find_clash

ROOT = Path(__file__).parents[3]
OURS, THEIRS = b"# ours\n", b"# theirs\n"


def put_package(folder, text):
    package = folder / "azure/durable_functions"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_bytes(text)
    return package


def put_ours(folder):
    package = put_package(folder, OURS)
    (package / "replay.py").touch()
    return package


def put_official(folder, *, record=True):
    package = put_package(folder, THEIRS)
    info = folder / "azure_functions_durable-1.7.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: azure-functions-durable\nVersion: 1.7.0\n")
    if record:
        digest = base64.urlsafe_b64encode(hashlib.sha256(THEIRS).digest()).rstrip(b"=").decode()
        (info / "RECORD").write_text(f"azure/durable_functions/__init__.py,sha256={digest},{len(THEIRS)}\n")
    return package


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def test_our_package_alone_is_no_clash(site):
    put_ours(site)

    assert find_clash([str(site)]) is None


def test_no_package_at_all_is_left_to_the_import(site):
    assert find_clash([str(site)]) is None


def test_the_official_package_in_place_of_ours_is_a_clash_with_its_version_and_its_folder(site):
    package = put_official(site)

    clash = find_clash([str(site)])

    assert (clash.official_version, clash.folder, clash.is_ours) == ("1.7.0", package, False)


def test_official_files_on_top_of_ours_are_recognised(site):
    put_ours(site)
    put_official(site)

    assert not find_clash([str(site)]).is_ours


def test_our_files_on_top_of_the_official_ones_are_ours_but_a_clash(site):
    put_official(site)
    put_ours(site)

    assert find_clash([str(site)]).is_ours


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_in_two_folders_the_first_of_the_path_counts(tmp_path, first):
    put_ours(tmp_path / "ours")
    put_official(tmp_path / "theirs")
    rest = "theirs" if first == "ours" else "ours"

    clash = find_clash([str(tmp_path / first), str(tmp_path / rest)])

    assert (clash.folder.parents[1].name, clash.is_ours) == (first, first == "ours")


def test_an_installation_without_a_record_is_told_by_what_only_ours_has(site):
    put_official(site, record=False)

    assert not find_clash([str(site)]).is_ours


def test_foreign_files_without_metadata_are_a_clash(site):
    put_package(site, THEIRS)

    clash = find_clash([str(site)])

    assert (clash.official_version, clash.is_ours) == (None, False)
    assert "is not that of durable-taskhub" in str(clash)


def test_the_message_names_the_cure(site):
    put_official(site)

    text = str(find_clash([str(site)]))

    assert "azure-functions-durable 1.7.0" in text
    assert "requirements.txt" in text
    assert f"{sys.executable} -m pip uninstall --yes azure-functions-durable\n" in text
    assert f"{sys.executable} -m pip install --force-reinstall --no-deps durable-taskhub\n" in text


def taskhub(site, *arguments):
    """Run the command with ``site`` before everything else that can be imported."""
    path = os.pathsep.join([str(site), sysconfig.get_path("purelib"), str(ROOT), str(ROOT / "sdk")])
    return subprocess.run(
        [sys.executable, "-S", "-m", "taskhub.cli.__main__", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )


def test_start_ends_with_the_message_when_the_official_package_is_in_the_way(site):
    put_official(site)

    done = taskhub(site, "start", ".")

    assert done.returncode == 1
    assert "azure-functions-durable 1.7.0, and hides the one that the task hub needs" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_that_need_no_sdk_work_beside_the_official_package(site):
    put_official(site)

    done = taskhub(site, "instances", "list")

    assert "There is no embedded store" in done.stderr


def test_start_warns_when_ours_is_in_use_beside_the_official_package(site):
    put_official(site)
    shutil.rmtree(site / "azure")
    (site / "host.json").write_text('{"version": "2.0"}')
    (site / "a_file").touch()

    done = taskhub(site, "start", ".", "--port", "0", "--storage", "embedded:a_file/store")  # ends at once

    assert done.returncode == 1
    assert "azure-functions-durable 1.7.0 is installed beside durable-taskhub" in done.stdout
