from pathlib import Path

import pytest

from taskhub.errors import ConfigurationError
from taskhub.wiring import Account, EmbeddedStore, IdentityAccount, choose_store

ROOT = Path("/app")
EMULATOR = "UseDevelopmentStorage=true"
KEYED = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=a2V5"


def choose(choice=None, *, setting="AzureWebJobsStorage", listening=False, **settings):
    return choose_store(choice, app_settings=settings, app_root=ROOT, setting=setting, emulator=lambda: listening)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "because AzureWebJobsStorage is not set"),
        ({"AzureWebJobsStorage": ""}, "because AzureWebJobsStorage is not set"),
        (
            {"AzureWebJobsStorage": EMULATOR},
            "because AzureWebJobsStorage is UseDevelopmentStorage=true and no emulator is listening",
        ),
    ],
)
def test_without_an_account_the_store_is_embedded_in_the_app(settings, why):
    assert choose(**settings) == EmbeddedStore(ROOT / ".taskhub" / "hub.db", why)


def test_an_emulator_that_listens_is_used():
    assert choose(listening=True, AzureWebJobsStorage=EMULATOR) == Account(EMULATOR, "from AzureWebJobsStorage")


def test_a_connection_string_is_used_without_looking_for_an_emulator():
    assert choose(AZUREWEBJOBSSTORAGE=KEYED) == Account(KEYED, "from AzureWebJobsStorage")


@pytest.mark.parametrize("key", ["Other", "ConnectionStrings:Other", "ConnectionStrings__Other", "AzureWebJobsOther"])
def test_another_connection_is_found_under_each_of_its_names(key):
    assert choose(setting="Other", **{key: KEYED}) == Account(KEYED, "from Other")


def test_a_named_connection_that_is_missing_is_an_error():
    with pytest.raises(ConfigurationError, match="Unable to resolve the Azure Storage connection named 'Other'"):
        choose(setting="Other", AzureWebJobsStorage=KEYED)


def test_a_connection_by_identity_is_a_group_of_settings():
    found = choose(AzureWebJobsStorage__accountName="acc", AzureWebJobsStorage__clientId="me")

    assert found == IdentityAccount({"account_name": "acc", "client_id": "me"}, "from AzureWebJobsStorage")


@pytest.mark.parametrize("separator", ["__", ":"])
def test_every_part_of_a_connection_by_identity_is_read(separator):
    parts = {
        "accountName": "account_name",
        "blobServiceUri": "blob_service_uri",
        "queueServiceUri": "queue_service_uri",
        "tableServiceUri": "table_service_uri",
        "credential": "credential",
        "clientId": "client_id",
        "tenantId": "tenant_id",
        "clientSecret": "client_secret",
    }

    found = choose(setting="Other", **{f"OTHER{separator}{part}": part for part in parts})

    assert found == IdentityAccount({argument: part for part, argument in parts.items()}, "from Other")


def test_a_credential_alone_is_no_connection():
    with pytest.raises(ConfigurationError, match="Unable to resolve the Azure Storage connection named 'Other'"):
        choose(setting="Other", Other__credential="managedidentity", Other__clientId="me")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("embedded", EmbeddedStore(ROOT / ".taskhub" / "hub.db", "as asked for")),
        ("embedded:some/file.db", EmbeddedStore(Path("some/file.db"), "as asked for")),
        ("azurite", Account(EMULATOR, "as asked for")),
        ("MINE", Account(KEYED, "as asked for")),
    ],
)
def test_the_option_wins_over_what_is_configured(choice, expected):
    assert choose(choice, AzureWebJobsStorage="x", Mine=KEYED) == expected


def test_a_setting_that_does_not_exist_is_named_with_the_alternatives():
    with pytest.raises(ConfigurationError, match=r"names 'Nowhere', but there is no setting.*embedded:PATH or azurite"):
        choose("Nowhere")


def test_a_connection_string_as_an_option_is_refused_without_repeating_it():
    with pytest.raises(ConfigurationError, match="takes the name of a setting") as caught:
        choose(KEYED)

    assert "a2V5" not in str(caught.value)
