import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from taskhub.errors import ConfigurationError
from taskhub.host.official_sdk import Drive, Sdk, SdkChoice, choose, find_sdks

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


def put_official(folder, *, record=True, version="1.7.0", also=(), init=THEIRS):
    package = put_package(folder, init)
    info = folder / f"azure_functions_durable-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: azure-functions-durable\nVersion: {version}\n")
    files = {"__init__.py": init, **dict(also)}
    for name, text in files.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_bytes(text)
    if record:
        lines = [f"azure/durable_functions/{name},sha256={digest(text)},{len(text)}\n" for name, text in files.items()]
        (info / "RECORD").write_text("".join(lines))
    return package


def digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def in_use(*folders, choice=SdkChoice.AUTO):
    return choose(find_sdks(list(map(str, folders))), choice)


def test_our_package_alone_is_driven_live(site):
    package = put_ours(site)

    assert in_use(site) == Sdk(package, is_ours=True)


def test_no_package_at_all_is_named_with_the_cure(site):
    with pytest.raises(ConfigurationError, match=r"cannot be found. Install it: .* -m pip install durable-taskhub"):
        in_use(site)


def test_the_official_package_in_place_of_ours_is_driven_by_the_json_protocol(site):
    package = put_official(site)

    sdk = in_use(site)

    assert sdk == Sdk(package, is_ours=False, official_version="1.7.0", drive=Drive.JSON)
    assert str(sdk) == f"azure-functions-durable 1.7.0 in {package}"
    assert sdk.warning is None


def test_official_files_on_top_of_ours_are_the_official_sdk(site):
    put_ours(site)
    put_official(site)

    assert not in_use(site).is_ours


def test_our_files_on_top_of_the_official_ones_are_ours_with_a_warning_that_names_the_cure(site):
    put_official(site)
    put_ours(site)

    sdk = in_use(site)

    assert sdk.is_ours
    assert "azure-functions-durable 1.7.0 is installed beside durable-taskhub" in sdk.warning
    assert "requirements.txt" in sdk.warning
    assert f"{sys.executable} -m pip uninstall --yes azure-functions-durable\n" in sdk.warning
    assert f"{sys.executable} -m pip install --force-reinstall --no-deps durable-taskhub\n" in sdk.warning


@pytest.mark.parametrize(
    ("order", "choice", "is_ours"),
    [
        (("ours", "theirs"), SdkChoice.AUTO, True),
        (("theirs", "ours"), SdkChoice.AUTO, False),
        (("theirs", "ours"), SdkChoice.OWN, True),
        (("theirs", "ours"), SdkChoice.OWN_JSON, True),
        (("ours", "theirs"), SdkChoice.OFFICIAL, False),
    ],
)
def test_the_first_of_the_path_is_used_that_is_wanted(tmp_path, order, choice, is_ours):
    put_ours(tmp_path / "ours")
    put_official(tmp_path / "theirs")

    sdk = in_use(*(tmp_path / name for name in order), choice=choice)

    assert sdk.is_ours is is_ours
    assert sdk.drive is (Drive.JSON if choice is SdkChoice.OWN_JSON or not is_ours else Drive.LIVE)


def test_an_installation_without_a_record_is_told_by_what_only_ours_has(site):
    put_official(site, record=False)

    assert not in_use(site).is_ours


def test_files_without_metadata_are_the_official_sdk_of_an_unknown_version(site):
    put_package(site, THEIRS)

    sdk = in_use(site)

    assert (sdk.is_ours, sdk.official_version) == (False, None)


def test_an_official_sdk_that_lost_a_file_is_refused_with_the_cure_for_either(site):
    put_official(site, also={"models/Task.py": b"#"})
    (site / "azure/durable_functions/models/Task.py").unlink()

    with pytest.raises(ConfigurationError, match=r"is not whole: .*models/Task.py is not as it was") as refused:
        in_use(site)

    assert "--no-deps azure-functions-durable==1.7.0" in str(refused.value)
    assert "--no-deps durable-taskhub" in str(refused.value)


@pytest.mark.parametrize("version", ["2.0.0b1", "2.0.0rc3", "2.7.1"])
def test_the_official_package_2_is_driven_by_protobuf_messages(site, version):
    package = put_official(site, version=version)

    sdk = choose(find_sdks([str(site)]), SdkChoice.AUTO, python=(3, 13))

    assert sdk == Sdk(package, is_ours=False, official_version=version, drive=Drive.PROTOBUF)


def test_the_official_package_2_is_refused_on_a_python_that_it_does_not_run_on(site):
    put_official(site, version="2.0.0")

    with pytest.raises(ConfigurationError) as refused:
        choose(find_sdks([str(site)]), SdkChoice.AUTO, python=(3, 12))

    assert "azure-functions-durable 2.0.0 in " in str(refused.value)
    assert "needs Python 3.13, and this host runs on 3.12" in str(refused.value)
    assert "python3.13 -m pip install durable-taskhub" in str(refused.value)


def test_an_official_sdk_of_a_release_that_nobody_knows_is_refused(site):
    put_official(site, version="3.0.0")

    with pytest.raises(ConfigurationError, match=r"Install azure-functions-durable<3, or .* --sdk own"):
        in_use(site)


@pytest.mark.parametrize("choice", [SdkChoice.OWN, SdkChoice.OWN_JSON])
def test_ours_cannot_be_had_where_the_official_one_lies_in_its_place(site, choice):
    put_ours(site)
    put_official(site)

    with pytest.raises(ConfigurationError, match=r"asked for \(--sdk own\), but .* lies where ours should be"):
        in_use(site, choice=choice)


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


def test_start_ends_with_the_message_when_no_sdk_can_be_used(site):
    put_official(site, version="3.0.0")

    done = taskhub(site, "start", ".")

    assert done.returncode == 1
    assert "is of a release that this host does not know how to drive" in done.stderr
    assert "Traceback" not in done.stderr


def test_start_says_what_to_install_when_the_sdk_lacks_something(site):
    put_official(site, init=b"import no_such_library\n")

    done = taskhub(site, "start", ".")

    assert done.returncode == 1
    assert "azure-functions-durable 1.7.0 in" in done.stderr
    assert "cannot be imported: No module named 'no_such_library'" in " ".join(done.stderr.split())
    assert "pip install --upgrade azure-functions-durable==1.7.0" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_commands_that_need_no_sdk_work_beside_the_official_package(site):
    put_official(site)

    done = taskhub(site, "instances", "list")

    assert "There is no embedded store" in done.stderr


def test_start_warns_when_ours_is_in_use_beside_the_official_package(site):
    put_official(site)
    shutil.rmtree(site / "azure")
    shutil.copytree(ROOT / "sdk/azure", site / "azure")
    (site / "host.json").write_text('{"version": "2.0"}')
    (site / "a_file").touch()

    done = taskhub(site, "start", ".", "--port", "0", "--storage", "embedded:a_file/store")  # ends at once

    assert done.returncode == 1
    assert "azure-functions-durable 1.7.0 is installed beside durable-taskhub" in done.stdout
