"""Binding expressions and blob paths."""

import uuid
from datetime import datetime, timezone

import pytest
from azure.functions.meta import Datum

from taskhub.host.triggers.blob_paths import parse_pattern, split_path
from taskhub.host.triggers.expressions import MissingValue, SystemValues, TemplateError, parse_template
from taskhub.host.triggers.trigger_values import values_of

GUID = uuid.UUID("0d5b2c3e-1f4a-4b6c-8d9e-a0b1c2d3e4f5")
SYSTEM = SystemValues(lambda: datetime(2026, 3, 4, 15, 6, 7, 89_000, tzinfo=timezone.utc), lambda: GUID, "f")


def render(text, **values):
    return parse_template(text).render(values, SYSTEM)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("out/{name}.txt", "out/a b.txt"),
        ("{NAME}", "a b"),
        ("{{{name}}}", "{a b}"),
        ("{order.id}-{Order.Items}", '7-["x"]'),
        ("{order.customer.name}", "Ada"),
        ("{yes} {nothing}|", "True |"),
        ("{rand-guid}", str(GUID)),
        ("{sys.randguid}", str(GUID)),
        ("{rand-guid:N}", GUID.hex),
        ("{rand-guid:B}", f"{{{GUID}}}"),
        ("{DateTime}", "2026-03-04T15-06-07Z"),
        ("{datetime:yyyy-MM-dd}", "2026-03-04"),
        ("{sys.utcnow:HH.mm.ss.fff}", "15.06.07.089"),
        ("{datetime:yy/M/d hh tt}", "26/3/4 03 PM"),
        ("{datetime:'year' yyyy}", "year 2026"),
        ("{datetime:o}", "2026-03-04T15:06:07.0890000Z"),
        ("{sys.methodname}", "f"),
    ],
)
def test_expressions_stand_for_values(text, expected):
    order = {"id": 7, "items": ["x"], "customer": {"name": "Ada"}}

    assert render(text, name="a b", order=order, yes=True, nothing=None) == expected


def test_a_value_that_is_given_goes_before_one_that_is_made_up():
    assert render("{datetime}", DateTime="given") == "given"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{other}", "No value for named parameter 'other'"),
        ("{order.price}", "Error while accessing 'price' of 'order.price'"),
        ("{order.id.more}", "Error while accessing 'more'"),
        ("{rand-guid:Q}", "'Q' is no format of a guid"),
    ],
)
def test_a_name_without_a_value_is_said(text, reason):
    with pytest.raises(MissingValue, match=reason):
        render(text, order={"id": 7})


@pytest.mark.parametrize("text", ["{", "}", "a{b", "a}b", "{{}", "{}", "{1a}", "{a b}", "{my-name}", "{a..b}"])
def test_what_is_no_template_is_refused(text):
    with pytest.raises(TemplateError):
        parse_template(text)


# ---- paths of blob triggers


@pytest.mark.parametrize(
    ("path", "blob", "captured"),
    [
        ("input", "any/thing.pdf", {}),
        ("input/{name}", "any/thing.pdf", {"name": "any/thing.pdf"}),
        ("input/{name}.pdf", "a.pdf", {"name": "a"}),
        ("input/{name}.pdf", "a.PDF", None),
        ("input/{name}.pdf", "a.pdf.bak", None),
        ("input/{date}-{id}.json", "2026-01-02-7.json", {"date": "2026-01-02", "id": "7"}),
        ("input/original-{name}", "original-", {"name": ""}),
        ("input/{{20140101}}-{name}", "{20140101}-x", {"name": "x"}),
        ("input/fixed.txt", "fixed.txt", {}),
        ("input/fixed.txt", "fixedxtxt", None),
        ("Input/{name}/", "x", {"name": "x"}),
        ("input/{name}", "line\nbreak", {"name": "line\nbreak"}),
    ],
)
def test_a_pattern_captures_parts_of_names(path, blob, captured):
    pattern = parse_pattern(path)

    assert pattern.container == "input"
    assert pattern.match(blob) == captured
    if captured is not None:
        assert blob.startswith(pattern.prefix)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("{container}/{name}", "must begin with the name of a container"),
        ("in/{name}", "Invalid container name: 'in'"),
        ("in_put", "Invalid container name"),
        ("input/{name}{name}", "names the same part twice"),
        ("input/{rand-guid}", "cannot be captured"),
        ("input/{a.b}", "cannot be captured"),
        ("input/{name", "without its partner"),
        ("", "Invalid container name"),
    ],
)
def test_what_is_no_pattern_is_said(path, reason):
    with pytest.raises(TemplateError, match=reason):
        parse_pattern(path)


def test_paths_of_other_blobs_have_a_container_and_a_name():
    assert split_path("Samples/a/b.txt") == ("samples", "a/b.txt")
    assert split_path("$web/index.html") == ("$web", "index.html")
    for path in ("samples", "samples/", "/", "a/b", "sam_ples/x", "samples/" + "n" * 1025):
        with pytest.raises(TemplateError):
            split_path(path)


# ---- values


def strings(**values):
    return {name: Datum(value, "string") for name, value in values.items()}


def test_of_a_request_its_route_query_headers_and_body_can_be_named():
    request = {
        "headers": strings(host="localhost"),
        "query": strings(id="of the query", size="3"),
        "params": strings(id="of the route"),
        "body": Datum(b'{"id": "of the body", "order": {"total": 5}}', "bytes"),
    }

    values = values_of("httptrigger", Datum(request, "http"), {})

    assert (values["id"], values["size"], values["order"]) == ("of the route", "3", {"total": 5})
    assert render("{Query.size}{Headers.Host}", **values) == "3localhost"


@pytest.mark.parametrize("body", [b"", b"text", b"[1]", b"\xff", b"{broken"])
def test_a_body_that_is_no_json_object_has_no_properties(body):
    request = {"headers": {}, "query": {}, "params": {}, "body": Datum(body, "bytes")}

    assert values_of("httptrigger", Datum(request, "http"), {}) == {"headers": {}, "query": {}}


@pytest.mark.parametrize(
    ("event", "data"), [('{"id": "1", "data": {"a": 2}}', {"a": 2}), ("text", None), ("[1]", None)]
)
def test_of_an_event_its_data_can_be_named(event, data):
    assert values_of("eventgridtrigger", Datum(event, "json"), {}) == {"data": data}


def test_of_a_message_its_properties_go_before_its_metadata():
    metadata = {"Id": Datum("17", "string"), "QueueTrigger": Datum("text", "string"), "DequeueCount": Datum(2, "int")}

    values = values_of("queuetrigger", Datum('{"name": "Ada"}', "string"), metadata)

    assert (values["name"], values["Id"], values["DequeueCount"]) == ("Ada", "17", 2)
    assert render("{queueTrigger}-{dequeuecount}", **values) == "text-2"


def test_of_an_activity_its_input_can_be_named():
    values = values_of("activitytrigger", Datum('{"name": "Ada"}', "string"), {})

    assert render("{data.name}", **values) == "Ada"


def test_of_a_blob_its_path_and_metadata_can_be_named():
    metadata = {"BlobTrigger": Datum("in/a", "string"), "Metadata": Datum('{"owner": "Ada"}', "json")}

    assert render("{blobTrigger}|{metadata.owner}", **values_of("blobtrigger", Datum(b"", "bytes"), metadata)) == (
        "in/a|Ada"
    )
