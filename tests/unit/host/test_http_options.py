import pytest

from taskhub.errors import ConfigurationError
from taskhub.host.http_cors import Cors
from taskhub.host.http_options import HttpOptions, LocalHost, is_header, read_http_options, read_local_host


def test_without_a_section_everything_has_its_default():
    assert read_http_options({}) == HttpOptions(route_prefix="api")
    assert read_local_host({}) == LocalHost()


def test_the_section_is_read_whatever_the_case_of_its_keys():
    options = read_http_options(
        {
            "ROUTEPREFIX": "/x/",
            "customHeaders": {"X-A": 1},
            "maxConcurrentRequests": 5,
            "maxOutstandingRequests": "10",
        }
    )

    assert options == HttpOptions("x", {"X-A": "1"}, max_concurrent_requests=5, max_outstanding_requests=10)


@pytest.mark.parametrize("value", [-1, "-1", None])
def test_no_limit_is_none(value):
    assert read_http_options({"maxOutstandingRequests": value}).max_outstanding_requests is None


@pytest.mark.parametrize(
    ("hsts", "header"),
    [
        ({"isEnabled": False}, None),
        ({"isEnabled": True}, "max-age=2592000"),
        ({"isEnabled": "true", "maxAge": "10"}, "max-age=864000"),
        (
            {"isEnabled": True, "maxAge": "01:00:00", "includeSubDomains": True, "preload": True},
            "max-age=3600; includeSubDomains; preload",
        ),
    ],
)
def test_strict_transport_security_is_made_of_its_parts(hsts, header):
    assert read_http_options({"hsts": hsts}).strict_transport == header


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"routePrefix": 5}, "routePrefix"),
        ({"maxConcurrentRequests": 0}, "maxConcurrentRequests"),
        ({"maxOutstandingRequests": "many"}, "maxOutstandingRequests"),
        ({"customHeaders": ["x"]}, "customHeaders"),
        ({"customHeaders": {"X-A": "b\r\nX-B: c"}}, "customHeaders"),
        ({"customHeaders": {"X A": "b"}}, "customHeaders"),
        ({"hsts": True}, "hsts"),
        ({"hsts": {"isEnabled": "yes"}}, "hsts.isEnabled"),
        ({"hsts": {"isEnabled": True, "maxAge": "long"}}, "hsts.maxAge"),
        ({"dynamicThrottlesEnabled": "maybe"}, "dynamicThrottlesEnabled"),
    ],
)
def test_a_wrong_value_ends_the_start_and_is_named(section, named):
    with pytest.raises(ConfigurationError, match=rf"extensions\.http\.{named}"):
        read_http_options(section)


def test_a_throttle_that_has_no_effect_says_so():
    assert "no effect" in read_http_options({"dynamicThrottlesEnabled": True}).warnings[0]


def test_the_host_part_of_local_settings_is_read_and_mistakes_are_warnings():
    assert read_local_host(
        {"LocalHttpPort": 7080, "LocalHttpAddress": "0.0.0.0", "CORS": "https://a, https://B/", "CORSCredentials": True}
    ) == LocalHost(7080, "0.0.0.0", Cors(frozenset({"https://a", "https://b"}), allow_credentials=True))

    wrong = read_local_host({"LocalHttpPort": "x", "LocalHttpAddress": 1, "CORS": ["a"]})
    assert (wrong.port, wrong.address, wrong.cors, len(wrong.warnings)) == (None, None, None, 3)


def test_credentials_go_with_named_origins_only():
    with pytest.raises(ConfigurationError, match="Name the origins in place of"):
        Cors.of("https://a,*", allow_credentials=True)


def test_all_origins_are_told_so():
    assert Cors.of("*", allow_credentials=False).headers({"origin": "https://x"}) == {
        "Access-Control-Allow-Origin": "*"
    }


@pytest.mark.parametrize(
    ("name", "value", "sound"),
    [
        ("X-A", "b c", True),
        ("X-A", "h\u00e9", True),
        ("X-A", "b\r\n", False),
        ("X-A", "\x00", False),
        ("X-A:", "b", False),
        ("", "b", False),
        ("X\nA", "b", False),
    ],
)
def test_a_header_is_one_that_stays_on_its_line(name, value, sound):
    assert is_header(name, value) == sound
