import json

import pytest

from taskhub.errors import ConfigurationError, InvalidHubName
from taskhub.host.configuration import load_configuration, resolve_settings


def load(root, environment=None, **files):
    for name, content in files.items():
        path = root / (name.replace("_json", ".json").replace("local_settings", "local.settings"))
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return load_configuration(root, environment or {})


def durable(**options):
    return {"version": "2.0", "extensions": {"durableTask": options}}


def test_an_app_without_files_gets_the_defaults(tmp_path):
    configuration = load(tmp_path)

    assert configuration.route_prefix == "api"
    assert configuration.durable.hub.hub_name == "TestHubName"
    assert configuration.durable.connection == "AzureWebJobsStorage"
    assert configuration.warnings == ()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere is not a folder"):
        load_configuration(tmp_path / "nowhere", {})


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff{"version": "2.0", "extensions": {"http": {"routePrefix": "x"}}}',
        '{"version": "2.0", // why\n "extensions": {"http": {"routePrefix": "x" /* how */}}}',
        '{"version": "2.0", "extensions": {"http": {"routePrefix": "x",},},}',
    ],
    ids=["byte order mark", "comments", "trailing commas"],
)
def test_host_json_is_read_as_tolerantly_as_the_original_reads_it(tmp_path, text):
    assert load(tmp_path, host_json=text).route_prefix == "x"


def test_comment_marks_and_commas_inside_of_strings_stay(tmp_path):
    text = '{"version": "2.0", "extensions": {"http": {"customHeaders": {"X-A": "http://x /* ,} */"}}}}'

    assert load(tmp_path, host_json=text).http.headers == {"X-A": "http://x /* ,} */"}


def test_a_second_document_in_host_json_is_only_worth_a_warning(tmp_path):
    configuration = load(tmp_path, host_json='{"version": "2.0"}\n\n{"version": "2.0"}')

    assert configuration.warnings == (
        "host.json: everything from line 3 on is ignored, because it follows the end of the document.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n "version": 2.0" }', r"host\.json is not valid JSON: line 2, column 16"),
        ("[]", "must hold a JSON object, but holds an array"),
        ("{}", r'has no version; this host reads version "2\.0"'),
        ('{"version": "1.0"}', r"has version '1\.0'"),
        ('{"version": "2.0", "functions": "A"}', "functions is 'A'; it must be an array"),
        ('{"version": "2.0", "extensions": []}', r"extensions is \[\]; it must be an object"),
        ('{"version": "2.0", "logging": {"logLevel": {"default": "Loud"}}}', "logLevel.default is 'Loud'"),
    ],
)
def test_a_broken_host_json_ends_the_start_and_says_where(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        load(tmp_path, host_json=text)


@pytest.mark.parametrize(
    ("written", "seconds"), [("00:00:30", 30), ("01:05:00", 3900), ("1.00:00:00", 86400), ("-1", None), (-1, None)]
)
def test_the_time_that_functions_may_take_is_read(tmp_path, written, seconds):
    configuration = load(tmp_path, host_json={"version": "2.0", "functionTimeout": written})

    assert configuration.function_timeout_seconds == seconds


@pytest.mark.parametrize("written", ["soon", "00:00:00", "300", 300, "00:61:00"])
def test_a_time_for_functions_that_is_none_ends_the_start(tmp_path, written):
    with pytest.raises(ConfigurationError, match=r"functionTimeout is .* must be a time span"):
        load(tmp_path, host_json={"version": "2.0", "functionTimeout": written})


def test_the_environment_overrides_host_json_ignoring_case(tmp_path):
    environment = {
        "AzureFunctionsJobHost__extensions__durableTask__hubName": "FromEnvironment",
        "AZUREFUNCTIONSJOBHOST__EXTENSIONS__DURABLETASK__STORAGEPROVIDER__PARTITIONCOUNT": "2",
        "AzureFunctionsJobHost__functions__0": "Only",
        "AzureFunctionsJobHost:logging:logLevel:default": "Debug",
    }

    configuration = load(tmp_path, environment, host_json=durable(hubName="FromFile"))

    assert configuration.durable.hub.hub_name == "FromEnvironment"
    assert configuration.durable.hub.partition_count == 2
    assert configuration.functions == {"only"}
    assert configuration.log_levels == {"default": "Debug"}


def test_the_option_wins_over_host_json_and_environment(tmp_path):
    (tmp_path / "host.json").write_text(json.dumps(durable(hubName="FromFile")))

    assert load_configuration(tmp_path, {}, hub="FromOption").durable.hub.hub_name == "FromOption"


# ---- local.settings.json


def test_values_become_settings_unless_the_environment_has_them(tmp_path):
    values = {"New": "1", "Taken": "file", "Blank": "", "BlankInEnvironment": "file", "Number": 5, "Flag": True}

    configuration = load(
        tmp_path,
        {"Taken": "environment", "BlankInEnvironment": ""},
        local_settings_json={"IsEncrypted": False, "Values": values},
    )

    assert configuration.added_settings == {
        "New": "1",
        "Blank": "",
        "BlankInEnvironment": "file",
        "Number": "5",
        "Flag": "True",
    }
    assert configuration.settings["Taken"] == "environment"
    assert len(configuration.warnings) == 1
    assert "Skipping 'Taken' from local settings" in configuration.warnings[0]


def test_null_and_nameless_values_are_skipped_with_a_warning(tmp_path):
    configuration = load(tmp_path, local_settings_json={"Values": {"": "x", "Nothing": None}})

    assert configuration.added_settings == {}
    assert len(configuration.warnings) == 2


def test_a_broken_settings_file_is_a_warning_and_no_settings(tmp_path):
    configuration = load(tmp_path, local_settings_json="{oops")

    assert configuration.added_settings == {}
    assert "local.settings.json is not valid JSON" in configuration.warnings[0]


def test_encrypted_settings_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(ConfigurationError, match="func settings decrypt"):
        load(tmp_path, local_settings_json={"IsEncrypted": True, "Values": {"A": "CfDJ8"}})


def test_connection_strings_and_the_port_are_read(tmp_path):
    configuration = load(
        tmp_path,
        local_settings_json={
            "ConnectionStrings": {"One": "a", "Two": {"ConnectionString": "b", "ProviderName": "x"}},
            "Host": {"LocalHttpPort": 7080},
        },
    )

    assert configuration.settings["ConnectionStrings:One"] == "a"
    assert configuration.settings["ConnectionStrings:Two"] == "b"
    assert configuration.local_host.port == 7080


def test_another_runtime_than_python_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="FUNCTIONS_WORKER_RUNTIME is 'node'"):
        load(tmp_path, local_settings_json={"Values": {"FUNCTIONS_WORKER_RUNTIME": "node"}})


def test_settings_between_percent_signs_are_resolved(tmp_path):
    configuration = load(
        tmp_path, host_json=durable(hubName="%HUB%x"), local_settings_json={"Values": {"HUB": "Named"}}
    )

    assert configuration.durable.hub.hub_name == "Namedx"
    assert resolve_settings("%A%-%B%", {"A": "1"}) == "1-%B%"


def test_an_unknown_setting_in_the_hub_name_is_an_error(tmp_path):
    with pytest.raises(InvalidHubName, match="Task hub name '%HUB%'"):
        load(tmp_path, host_json=durable(hubName="%HUB%"))
