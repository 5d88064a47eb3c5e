from pathlib import Path

import pytest

from taskhub.errors import ConfigurationError
from taskhub.host.place import Place, app_root_of, find_place, is_invocation

WEBHOOK = "/runtime/webhooks/durabletask"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Place()),
        ({"PORT": "80", "WEBSITES_PORT": "80", "ASPNETCORE_URLS": "http://+:80"}, Place()),
        ({"AzureWebJobsScriptRoot": "/home/site/wwwroot"}, Place(80, "0.0.0.0")),
        ({"AzureWebJobsScriptRoot": "/a", "PORT": "8080"}, Place(8080, "0.0.0.0")),
        ({"AzureWebJobsScriptRoot": "/a", "WEBSITES_PORT": "8081", "PORT": "8080"}, Place(8081, "0.0.0.0")),
        ({"AzureWebJobsScriptRoot": "/a", "ASPNETCORE_URLS": "http://+:5000"}, Place(5000, "0.0.0.0")),
        ({"AzureWebJobsScriptRoot": "/a", "ASPNETCORE_URLS": "https://+:1;http://*"}, Place(80, "0.0.0.0")),
        ({"AzureWebJobsScriptRoot": "/a", "ASPNETCORE_URLS": "http://[::]:5000/"}, Place(5000, "0.0.0.0")),
        ({"AzureWebJobsScriptRoot": "/a", "ASPNETCORE_URLS": "http://localhost:5000"}, Place(5000, "localhost")),
        ({"AzureWebJobsScriptRoot": "/a", "ASPNETCORE_URLS": "http://10.0.0.1:5000"}, Place(5000, "10.0.0.1")),
    ],
)
def test_a_port_of_the_environment_counts_in_a_container_laid_out_as_azure_s(environment, expected):
    assert find_place(environment, route_prefix="api") == expected


@pytest.mark.parametrize("name", ["FUNCTIONS_CUSTOMHANDLER_PORT", "FUNCTIONS_HTTPWORKER_PORT"])
@pytest.mark.parametrize(
    ("prefix", "path"), [("api", "/api/durabletask"), ("", "/durabletask"), ("a/b", "/a/b/durabletask")]
)
def test_behind_the_functions_host_the_management_api_is_below_the_route_prefix(name, prefix, path):
    environment = {name: "5001", "WEBSITE_HOSTNAME": "site.azurewebsites.net", "AzureWebJobsScriptRoot": "/a"}

    assert find_place(environment, route_prefix=prefix) == Place(
        5001, None, path, "https://site.azurewebsites.net", is_custom_handler=True
    )


@pytest.mark.parametrize(
    ("site", "origin"), [("localhost:7071", "http://localhost:7071"), ("127.0.0.1:1", "http://127.0.0.1:1"), ("", None)]
)
def test_a_local_functions_host_is_reached_without_tls(site, origin):
    environment = {"FUNCTIONS_CUSTOMHANDLER_PORT": "1", "WEBSITE_HOSTNAME": site}

    assert find_place(environment, route_prefix="api").public_origin == origin


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "٣"])
@pytest.mark.parametrize("name", ["FUNCTIONS_CUSTOMHANDLER_PORT", "PORT"])
def test_a_port_that_is_none_is_refused_by_its_name(name, port):
    with pytest.raises(ConfigurationError, match=f"{name} is '{port}', but must be a port"):
        find_place({"AzureWebJobsScriptRoot": "/a", name: port}, route_prefix="api")


def test_the_environment_names_the_app():
    assert app_root_of({}) == Path()
    assert app_root_of({"AzureWebJobsScriptRoot": "/a"}) == Path("/a")
    assert app_root_of({"AzureWebJobsScriptRoot": "/a", "FUNCTIONS_APP_ROOT_PATH": "/b"}) == Path("/b")


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", "heartbeat", {"X-Azure-Functions-InvocationId": "1"}, True),
        ("GET", "heartbeat", {"X-Azure-Functions-InvocationId": "1"}, False),
        ("POST", "heartbeat", {}, False),
        ("POST", "api/heartbeat", {"X-Azure-Functions-InvocationId": "1"}, False),
        ("POST", "", {"X-Azure-Functions-InvocationId": "1"}, False),
    ],
)
def test_the_functions_host_calls_a_function_by_its_name(method, path, headers, expected):
    assert is_invocation(method, path, headers) is expected
