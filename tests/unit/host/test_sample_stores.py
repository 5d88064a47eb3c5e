"""Every sample, with each way in which people leave out a storage account, gets a store in its own folder.

That a sample then runs, tests/e2e/test_public_samples.py shows, each with the way in which it is published.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from taskhub.host.configuration import load_configuration
from taskhub.wiring import EmbeddedStore, choose_store

SAMPLES = Path(__file__).parents[2] / "apps" / "samples"
NO_EMULATOR = "because AzureWebJobsStorage is UseDevelopmentStorage=true and no emulator is listening"


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.iterdir() if path.is_dir()))
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "because AzureWebJobsStorage is not set"),
        ("", "because AzureWebJobsStorage is not set"),
        ("UseDevelopmentStorage=true", NO_EMULATOR),
    ],
    ids=["missing", "empty", "an emulator that does not run"],
)
def test_a_sample_has_a_store_without_an_account(tmp_path, sample, value, why):
    root = tmp_path / sample
    shutil.copytree(SAMPLES / sample, root, ignore=shutil.ignore_patterns("*.py"))
    settings_file = root / "local.settings.json"
    document = json.loads(settings_file.read_text(encoding="utf-8")) if settings_file.is_file() else {}
    values = {name: text for name, text in document.get("Values", {}).items() if name != "AzureWebJobsStorage"}
    if value is not None:
        values["AzureWebJobsStorage"] = value
    settings_file.write_text(json.dumps({**document, "Values": values}), encoding="utf-8")
    configuration = load_configuration(root, {"PATH": os.environ["PATH"]})

    store = choose_store(
        None,
        app_settings=configuration.settings,
        app_root=root,
        setting=configuration.durable.connection,
        emulator=lambda: False,
    )

    assert store == EmbeddedStore(root / ".taskhub" / "hub.db", why)
