import pytest

from taskhub.host.route_templates import (
    PathRefused,
    Route,
    RouteTable,
    TemplateError,
    decode_path,
    parse_template,
    without_dots,
)


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("orders", "orders", {}),
        ("Orders", "oRDERS", {}),
        ("orders", "orders/1", None),
        ("orders", "", None),
        ("", "", {}),
        ("orders/{id}", "orders/7", {"id": "7"}),
        ("orders/{id}", "orders", None),
        ("orders/{id}", "orders/7/8", None),
        ("orders/{id}", "orders/two words", {"id": "two words"}),
        ("orders/{id?}", "orders", {}),
        ("orders/{id?}", "orders/7", {"id": "7"}),
        ("orders/{id=1}", "orders", {"id": "1"}),
        ("{id?}", "", {}),
        ("orders/{a}/{b?}", "orders/1", {"a": "1"}),
        ("{*rest}", "", {"rest": ""}),
        ("{*rest}", "a/b/c", {"rest": "a/b/c"}),
        ("api/{*rest}", "api", {"rest": ""}),
        ("api/{**rest}", "api/x/y", {"rest": "x/y"}),
        ("api/{*rest=none}", "api", {"rest": "none"}),
        ("files/{name}.{ext}", "files/a.txt", {"name": "a", "ext": "txt"}),
        ("files/{name}.{ext}", "files/a.tar.gz", {"name": "a.tar", "ext": "gz"}),
        ("files/{name}.{ext?}", "files/a.tar.gz", {"name": "a.tar", "ext": "gz"}),
        ("files/{name}.{ext?}", "files/a", {"name": "a"}),
        ("v{version}/x", "v2/x", {"version": "2"}),
        ("a/{b?}/c", "a/c", None),
        ("a/{b?}/c", "a/x/c", {"b": "x"}),
        ("{a=1}/{b=2}", "", {"a": "1", "b": "2"}),
        ("{*rest}", "a\nb", {"rest": "a\nb"}),
        ("a{{b}}", "a{b}", {}),
        ("n/{n:int}", "n/-5", {"n": "-5"}),
        ("n/{n:int}", "n/2147483648", None),
        ("n/{n:int}", "n/x", None),
        ("n/{n:int?}", "n", {}),
        ("n/{n:int:min(1):max(9)}", "n/9", {"n": "9"}),
        ("n/{n:int:min(1):max(9)}", "n/10", None),
        ("n/{n:range(3,5)}", "n/4", {"n": "4"}),
        ("n/{n:range(3,5)}", "n/6", None),
        ("b/{b:bool}", "b/True", {"b": "True"}),
        ("b/{b:bool}", "b/1", None),
        ("g/{g:guid}", "g/0f8fad5b-d9cb-469f-a165-70867728950e", {"g": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
        ("g/{g:guid}", "g/0f8fad5b", None),
        ("d/{d:datetime}", "d/2026-01-02", {"d": "2026-01-02"}),
        ("d/{d:datetime}", "d/soon", None),
        ("f/{f:double}", "f/1.5", {"f": "1.5"}),
        ("f/{f:double}", "f/-1.5e3", {"f": "-1.5e3"}),
        ("f/{f:double}", "f/1_0", None),
        ("s/{s:alpha}", "s/abc", {"s": "abc"}),
        ("s/{s:alpha}", "s/a1", None),
        ("s/{s:length(2)}", "s/ab", {"s": "ab"}),
        ("s/{s:length(2,3)}", "s/abcd", None),
        ("s/{s:minlength(2)}", "s/a", None),
        ("s/{s:maxlength(2)}", "s/ab", {"s": "ab"}),
        ("s/{s:regex(^[a-z]{{2}}$)}", "s/ab", {"s": "ab"}),
        ("s/{s:regex(^[a-z]{{2}}$)}", "s/abc", None),
        ("s/{s:regex((a|b)/?)}", "s/b", {"s": "b"}),
    ],
)
def test_a_template_matches_what_it_should(template, path, values):
    assert parse_template(template).match(path) == values


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("a/{b", "a '{' without '}'"),
        ("a/b}", "a '}' without '{'"),
        ("a/{}", "without a proper name"),
        ("{a}/{A}", "names a parameter twice"),
        ("{*a}/b", "must be the last segment"),
        ("a//b", "an empty segment"),
        ("{a:even}", "an unknown constraint 'even'"),
        ("{a:min(x)}", "an unknown constraint 'min(x)'"),
        ("{a:range(1)}", "an unknown constraint 'range(1)'"),
        ("{a:min(1}", "a '(' without ')'"),
        ("{a:regex([)}", "an unknown constraint 'regex([)'"),
    ],
)
def test_a_template_that_means_nothing_says_why(template, reason):
    with pytest.raises(TemplateError) as caught:
        parse_template(template)

    assert reason in str(caught.value)


def table(*templates):
    return RouteTable.of(
        Route(parse_template(text), frozenset(methods), f"{text} {'/'.join(methods)}".strip())
        for text, methods in templates
    )


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a/b", "a/b"),
        ("a/5", "a/{n:int}"),
        ("a/x", "a/{s}"),
        ("a/f.txt", "a/{f}.txt"),
        ("a/x/y", "a/{*rest}"),
        ("z", "{*all}"),
    ],
)
def test_more_specific_routes_are_tried_first(path, target):
    routes = table(("{*all}", ()), ("a/{*rest}", ()), ("a/{s}", ()), ("a/{n:int}", ()), ("a/{f}.txt", ()), ("a/b", ()))

    assert routes.find("GET", path)[0] == target


def test_methods_tell_functions_of_one_path_apart_and_a_wrong_one_is_no_match():
    routes = table(("a", ("GET",)), ("a", ("POST", "PUT")))

    assert routes.find("GET", "a")[0] == "a GET"
    assert routes.find("PUT", "a")[0] == "a POST/PUT"
    assert routes.find("DELETE", "a") is None
    assert routes.find("HEAD", "a") is None


def test_a_wrong_method_falls_through_to_a_wider_route():
    assert table(("a", ("GET",)), ("{*all}", ())).find("POST", "a")[0] == "{*all}"


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("/a/b/", "a/b"),
        ("/a%20b", "a b"),
        ("/a%2Fb", "a%2Fb"),
        ("/a%2fb%41", "a%2fbA"),
        ("/", ""),
        ("/%C3%A9", "é"),
        ("/%ff%C3%A9%fe", "%FFé%FE"),
        ("/a%", "a%"),
        ("/" + "%ff" * 5000, "%FF" * 5000),
    ],
)
def test_paths_are_decoded_but_for_slashes(raw, decoded):
    assert decode_path(raw) == decoded


@pytest.mark.parametrize(
    ("raw", "left"),
    [
        ("/api/x", "/api/x"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b/./c/", "/b/c/"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/.well-known/x..y/...", "/.well-known/x..y/..."),
        ("/a/..%2f..%2fb", "/a/..%2f..%2fb"),
    ],
)
def test_a_path_has_no_dots_when_it_is_routed(raw, left):
    assert without_dots(raw) == left


@pytest.mark.parametrize("raw", ["/..", "/../x", "/a/../../etc/passwd", "/%2e%2e/x", "/a/%2E./.%2e/x", "/a%00b"])
def test_a_path_above_the_root_or_with_a_null_is_refused(raw):
    with pytest.raises(PathRefused):
        without_dots(raw)
