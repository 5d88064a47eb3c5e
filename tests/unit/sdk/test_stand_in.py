"""Who asks for the version of the official distribution learns which release this package stands in for."""

import subprocess
import sys
from importlib import metadata

import azure.durable_functions as df
import pytest
from azure.durable_functions import _stand_in

LOOKS = {"azure-functions-durable", "azure_functions_durable", "Azure.Functions.Durable"}


@pytest.mark.parametrize("name", sorted(LOOKS))
def test_the_version_is_told_to_who_asks_by_name(name):
    assert df  # the package has to be imported
    assert metadata.version(name) == "1.7.0"


def test_its_metadata_can_be_read_as_that_of_any_distribution():
    found = metadata.distribution("azure-functions-durable")

    assert found.metadata["Name"] == "azure-functions-durable"
    assert (found.files, found.requires, list(found.entry_points)) == (None, None, [])
    with pytest.raises(FileNotFoundError, match="durable-taskhub stands in for it"):
        found.locate_file("azure")


def test_other_distributions_and_lists_are_as_ever():
    assert not LOOKS & {each.metadata["Name"] for each in metadata.distributions()}
    assert not list(metadata.distributions(name="azure-functions-durable", path=["/nowhere"]))
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("azure-functions-durable-of-somebody-else")


def test_one_that_is_really_installed_comes_first(tmp_path, monkeypatch):
    folder = tmp_path / "azure_functions_durable-1.3.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: azure-functions-durable\nVersion: 1.3.2\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert metadata.version("azure-functions-durable") == "1.3.2"


def test_who_imports_the_package_anew_still_has_one_finder():
    _stand_in.stand_in()

    assert [type(finder).__name__ for finder in sys.meta_path].count("StandIn") == 1


def test_asking_is_what_loads_the_reader_of_metadata():
    source = (
        "import sys; sys.modules.pop('importlib.metadata', None)\n"
        "import azure.durable_functions; print('importlib.metadata' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "False"
