import taskhub

PUBLIC = {
    "ConfigurationError",
    "DeadLetterNotFound",
    "HubInUse",
    "InstanceExists",
    "InstanceNotFound",
    "InvalidHubName",
    "InvalidInstanceState",
    "PayloadError",
    "StorageError",
    "TaskHubClient",
    "TaskHubError",
    "TaskHubSettings",
    "TransientStorageError",
    "UnknownFunction",
    "Worker",
}


def test_the_public_names_of_the_task_hub_change_only_on_purpose():
    # To take a name away needs a deprecation first; a new one goes into the changelog. The SDK's names are pinned by
    # tests/conformance/sdk.
    assert set(taskhub.__all__) == PUBLIC


def test_every_public_name_is_there_and_documented():
    assert [name for name in taskhub.__all__ if not getattr(taskhub, name).__doc__] == []
