"""What is said of triggers and bindings when an app is loaded, and what host.json says of them."""

import uuid
from pathlib import Path

import pytest

from taskhub.errors import ConfigurationError
from taskhub.host.bindings import BindingError, read_bindings
from taskhub.host.functions import Function, RetryPolicy
from taskhub.host.retry_policies import read_retry_policy
from taskhub.host.triggers.blob_paths import split_path
from taskhub.host.triggers.checks import prepared, time_zone
from taskhub.host.triggers.connections import Connections
from taskhub.host.triggers.expressions import TemplateError
from taskhub.host.triggers.host_id import host_id_of
from taskhub.host.triggers.options import read_blob_options, read_queue_options
from taskhub.wiring import Account, EmbeddedStore, open_store

QUEUE_TRIGGER = {"name": "m", "type": "queueTrigger", "queueName": "orders"}


def prepare(*bindings, **settings):
    return prepared(Function("f", lambda: None, read_bindings(bindings), Path()), settings, Path())


def test_settings_are_put_in_where_they_are_named():
    function = prepare(
        {"name": "m", "type": "queueTrigger", "queueName": "%Prefix%-orders", "connection": "%Where%"},
        {"name": "b", "type": "blob", "direction": "out", "path": "%prefix%/{id}.txt"},
        Prefix="dev",
        Where="Orders",
        Orders="UseDevelopmentStorage=true",
    )

    trigger, out = function.bindings
    assert (trigger.properties["queuename"], trigger.properties["connection"]) == ("dev-orders", "Orders")
    assert out.properties["path"] == "dev/{id}.txt"


def test_other_bindings_stay_as_they_are():
    http = {"name": "req", "type": "httpTrigger", "route": "a/%20b%20"}

    assert prepare(http).bindings[0].properties["route"] == "a/%20b%20"


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ({"type": "timerTrigger", "schedule": "%NIGHTLY%"}, "'%NIGHTLY%' does not resolve to a value. Add the setting"),
        ({"type": "timerTrigger", "schedule": "0 0 25 * * *"}, "'25' is no hour"),
        ({"type": "timerTrigger"}, "needs a schedule"),
        ({"type": "queueTrigger"}, "binding 'x' of type 'queueTrigger' needs a queueName"),
        ({"type": "queueTrigger", "queueName": "a_b"}, "'a_b' is no name of a queue"),
        ({"type": "queueTrigger", "queueName": "{name}"}, "must not have expressions"),
        ({"type": "queueTrigger", "queueName": "a-queue", "connection": "Nowhere"}, "the setting 'Nowhere'"),
        ({"type": "queueTrigger", "queueName": "a-queue", "connection": 5}, "it must name a setting"),
        ({"type": "blobTrigger"}, "needs a path"),
        ({"type": "blobTrigger", "path": "{a}/{b}"}, "must begin with the name of a container"),
        ({"type": "blobTrigger", "path": "in put/{b}"}, "Invalid container name"),
    ],
)
def test_what_is_wrong_with_a_trigger_is_said_with_the_fix(binding, reason):
    with pytest.raises(BindingError) as caught:
        prepare({"name": "x", **binding})

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ({"type": "queue", "queueName": "x"}, "'x' is no name of a queue"),
        ({"type": "queue", "queueName": "out-{"}, "without its partner"),
        ({"type": "blob", "path": "only-container"}, "Invalid blob path"),
        ({"type": "blob", "path": "in_put/{name}"}, "Invalid container name"),
        ({"type": "blob", "path": "input/{a b}"}, "no binding expression"),
    ],
)
def test_what_is_wrong_with_an_output_is_said(binding, reason):
    with pytest.raises(BindingError) as caught:
        prepare(QUEUE_TRIGGER, {"name": "x", "direction": "out", **binding})

    assert reason in str(caught.value)


def test_what_is_only_known_when_a_function_runs_is_not_held_against_it():
    function = prepare(
        QUEUE_TRIGGER,
        {"name": "q", "type": "queue", "direction": "out", "queueName": "{Anything}"},
        {"name": "b", "type": "blob", "direction": "out", "path": "{container}/{name}"},
    )

    assert len(function.bindings) == 3


def test_connections_by_identity_and_of_connection_strings_are_found():
    prepare({**QUEUE_TRIGGER, "connection": "Orders"}, **{"ConnectionStrings:Orders": "x"})
    prepare({**QUEUE_TRIGGER, "connection": "Orders"}, Orders__accountName="acme")
    prepare({**QUEUE_TRIGGER, "connection": ""})


def test_timers_follow_the_clock_of_a_zone():
    assert str(time_zone({"WEBSITE_TIME_ZONE": "Europe/Rome", "TZ": "Asia/Tokyo"})) == "Europe/Rome"
    assert str(time_zone({"TZ": "Asia/Tokyo"})) == "Asia/Tokyo"
    assert str(time_zone({})) == "UTC"
    timer = {"name": "t", "type": "timerTrigger", "schedule": "0 0 0 * * *"}
    with pytest.raises(BindingError, match="WEBSITE_TIME_ZONE is 'Nowhere/Land', which is no time zone"):
        prepare(timer, WEBSITE_TIME_ZONE="Nowhere/Land")


# ---- host.json


def test_defaults_are_the_original_s(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    queues = read_queue_options({}, is_development=False)
    blobs = read_blob_options({}, is_development=False)

    assert (queues.batch_size, queues.new_batch_threshold, queues.max_dequeue_count) == (16, 16, 5)
    assert (queues.max_polling_seconds, queues.visibility_seconds, queues.is_base64) == (60.0, 0, True)
    assert (blobs.max_parallel, blobs.poison_threshold, blobs.scan_seconds) == (16, 5, 10.0)
    assert read_queue_options({}, is_development=True).max_polling_seconds == 2.0
    assert read_blob_options({}, is_development=True).scan_seconds == 2.0


def test_values_are_read_ignoring_case_and_as_texts_of_the_environment():
    queues = read_queue_options(
        {
            "BatchSize": "8",
            "maxPollingInterval": "00:00:05",
            "visibilityTimeout": "00:00:30",
            "MaxDequeueCount": 2,
            "messageEncoding": "None",
            "newBatchThreshold": 0,
        },
        is_development=True,
    )

    assert (queues.batch_size, queues.new_batch_threshold, queues.max_dequeue_count) == (8, 0, 2)
    assert (queues.max_polling_seconds, queues.visibility_seconds, queues.is_base64) == (5.0, 30, False)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"batchSize": 33}, "extensions.queues.batchSize is 33; it must be a whole number from 1 to 32"),
        ({"batchSize": 0}, "from 1 to 32"),
        ({"batchSize": True}, "from 1 to 32"),
        ({"newBatchThreshold": -1}, "newBatchThreshold is -1; it must be a whole number from 0 up"),
        ({"maxDequeueCount": 0}, "from 1 up"),
        ({"maxPollingInterval": "00:00:00.05"}, "maxPollingInterval"),
        ({"maxPollingInterval": 5}, "time span"),
        ({"visibilityTimeout": "8.00:00:00"}, "visibilityTimeout"),
        ({"messageEncoding": "hex"}, "it must be base64 or none"),
    ],
)
def test_a_value_out_of_range_ends_the_start(section, reason):
    with pytest.raises(ConfigurationError, match=r"host\.json") as caught:
        read_queue_options(section, is_development=True)

    assert reason in str(caught.value)


def test_options_of_blobs_are_checked_too():
    assert (
        read_blob_options({"maxDegreeOfParallelism": 3, "poisonBlobThreshold": 1}, is_development=True).max_parallel
        == 3
    )
    with pytest.raises(ConfigurationError, match="maxDegreeOfParallelism is 0"):
        read_blob_options({"maxDegreeOfParallelism": 0}, is_development=True)


# ---- retry policies


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        (None, None),
        ({}, None),
        ({"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:05"}, RetryPolicy(3, 5.0, 5.0)),
        (
            {
                "setting_name": "retry_policy",
                "strategy": "fixed_delay",
                "max_retry_count": "-1",
                "delay_interval": "00:00:01",
            },
            RetryPolicy(-1, 1.0, 1.0),
        ),
        (
            {
                "strategy": "exponentialBackoff",
                "maxRetryCount": 5,
                "minimumInterval": "00:00:02",
                "maximumInterval": "00:00:10",
            },
            RetryPolicy(5, 2.0, 10.0),
        ),
    ],
)
def test_retry_policies_of_both_models(written, policy):
    assert read_retry_policy(written) == policy


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({"strategy": "sometimes", "maxRetryCount": 1}, "it must be fixedDelay or exponentialBackoff"),
        ({"strategy": "fixedDelay", "delayInterval": "00:00:01"}, "maxRetryCount"),
        ({"strategy": "fixedDelay", "maxRetryCount": 1}, "no time span"),
        (
            {
                "strategy": "exponentialBackoff",
                "maxRetryCount": 1,
                "minimumInterval": "01:00:00",
                "maximumInterval": "00:01:00",
            },
            "longer than the maximumInterval",
        ),
    ],
)
def test_what_is_no_retry_policy_is_said(written, reason):
    with pytest.raises(BindingError, match=reason):
        read_retry_policy(written)


def test_waits_grow_up_to_the_most():
    policy = RetryPolicy(9, 2.0, 10.0)

    assert [policy.wait_seconds(attempt) for attempt in (1, 2, 3, 4, 60)] == [2, 4, 8, 10, 10]


# ---- hosts and accounts


def test_a_host_has_an_id_of_its_site_or_of_its_folder():
    assert host_id_of({"WEBSITE_SITE_NAME": "My-Very-Long-Site-Name-In-Production"}, machine="m", app_root="/a") == (
        "my-very-long-site-name-in-produc"
    )
    assert host_id_of({"AzureFunctionsWebHost__hostid": "chosen"}, machine="m", app_root="/a") == "chosen"
    local = host_id_of({}, machine="My-Machine", app_root="/home/me/app")
    assert local.startswith("mymachine-")
    assert local == host_id_of({}, machine="My-Machine", app_root="/home/me/app")
    assert local != host_id_of({}, machine="My-Machine", app_root="/home/me/other")
    assert len(local) <= 32


def test_the_hash_of_a_folder_is_the_original_s():
    # ((23 * 31 + 'a') * 31 + 'b')
    assert host_id_of({}, machine="m", app_root="ab") == f"m-{(23 * 31 + 97) * 31 + 98}"


async def test_connections_that_are_the_same_account_are_opened_once(tmp_path):
    main = await open_store(EmbeddedStore(tmp_path / "hub.db", "for tests"))
    connections = Connections(
        main,
        EmbeddedStore(tmp_path / "hub.db", "for tests"),
        settings={
            "Empty": "",
            "Account": _account("one"),
            "Again": _account("one") + ";",
            "Other": _account("two"),
        },
        app_root=tmp_path,
    )

    opened = {name: (await connections.get(name)).storage for name in (None, "Empty", "Account", "Again", "Other")}

    assert opened[None] is opened["Empty"]
    assert opened[None].description == main.description
    assert opened["Account"] is opened["Again"]
    assert len({id(storage) for storage in opened.values()}) == 3
    with pytest.raises(ConfigurationError, match="Unable to resolve the Azure Storage connection named 'None'"):
        await connections.get("None")
    await connections.aclose()
    await main.aclose()


async def test_what_was_asked_for_on_the_command_line_stands_for_the_default_connection(tmp_path):
    main = await open_store(EmbeddedStore(tmp_path / "asked.db", "as asked for"))
    connections = Connections(
        main,
        Account(_account("hub"), "as asked for"),
        settings={"AzureWebJobsStorage": _account("one")},
        app_root=tmp_path,
        main_settings=frozenset({"AzureWebJobsStorage"}),
    )

    found = [(await connections.get(name)).storage for name in (None, "azurewebjobsstorage")]
    assert found[0] is found[1]
    assert found[0].description == main.description
    await main.aclose()


def _account(name):
    key = "a2V5" + uuid.uuid5(uuid.NAMESPACE_DNS, name).hex
    return f"DefaultEndpointsProtocol=https;AccountName={name};AccountKey={key};EndpointSuffix=core.windows.net"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("https://account.blob.core.windows.net/inbox/a%20b/c.txt", ("inbox", "a b/c.txt")),
        ("http://127.0.0.1:10000/devstoreaccount1/inbox/a.txt", ("inbox", "a.txt")),
        ("HTTPS://account.blob.core.chinacloudapi.cn/Inbox/a.txt", ("inbox", "a.txt")),
    ],
)
def test_the_url_of_a_blob_is_a_path_too(path, expected):
    assert split_path(path) == expected


@pytest.mark.parametrize("path", ["https://account.blob.core.windows.net/inbox", "http://127.0.0.1/account/inbox", "x"])
def test_a_url_without_a_blob_is_no_path(path):
    with pytest.raises(TemplateError, match=r"Invalid blob path specified: .* must have the form container/blob"):
        split_path(path)
