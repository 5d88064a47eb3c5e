from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskhub.codec.keys import (
    SENTINEL,
    blob_folder,
    escape_instance_id,
    prefix_bounds,
    refusal_of_instance_id,
    row_key,
    unescape_instance_id,
)
from tests.support.strategies import texts

ESCAPES = [
    ("a/b", "a^0b"),
    ("a\\b", "a^1b"),
    ("#1", "^21"),
    ("x?y", "x^3y"),
    ("a^b", "a^^b"),
    ("\t", "^\u00c9"),
    ("\x00", "^\u00c0"),
    ("\x1f", "^\u00df"),
    ("\x7f", "^\u013f"),
    ("\x9f", "^\u015f"),
    ("100 % 'quoted' \"日本\" \U0001f600", "100 % 'quoted' \"日本\" \U0001f600"),
    ("", ""),
    ("^/^", "^^^0^^"),
]


@pytest.mark.parametrize(("instance_id", "key"), ESCAPES)
def test_characters_that_a_key_may_not_hold_are_escaped(instance_id, key):
    assert escape_instance_id(instance_id) == key
    assert unescape_instance_id(key) == instance_id


@given(texts)
def test_every_id_comes_back_from_its_key(instance_id):
    key = escape_instance_id(instance_id)

    assert unescape_instance_id(key) == instance_id
    assert not set(key) & set("/\\#?")
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in key)


@pytest.mark.parametrize("key", ["a^", "^4", "^a", "^\u00bf", "a^\n"])
def test_what_is_no_escape_stays_as_it_is(key):
    assert unescape_instance_id(key) == key


@pytest.mark.parametrize(
    ("instance_id", "refusal"),
    [
        ("a", None),
        ("a" * 512, None),
        ("a" * 513, "may have 512 characters .* has 513"),
        ("日" * 512, None),
        ("日" * 513, "has 513"),
        ("\U0001f600" * 256, None),
        ("\U0001f600" * 257, "has 514"),
        ("/" * 256, None),
        ("/" * 257, "has 514"),
        ("\x00" * 256, None),
        ("\x00" * 257, "has 514"),
        ("", "cannot be empty"),
        ("a\ud800", r"half a surrogate pair \(at index 1\)"),
    ],
)
def test_an_id_is_refused_only_where_no_key_can_hold_it(instance_id, refusal):
    found = refusal_of_instance_id(instance_id)

    assert found is None if refusal is None else re.search(refusal, found)


@pytest.mark.parametrize(
    "name", ["order-42", "a/b", "a//b", "/a/", "@counter@a", "a.b", "..a", "it's #1?", "日本", "^0"]
)
def test_blobs_lie_in_the_folder_of_the_id(name):
    assert blob_folder(name) == name


@pytest.mark.parametrize(
    "name", [".", "..", "../x", "a/../b", "a./b", "a.", "a\\b", "a\tb", "a\x85", "\uffff", "\ud800"]
)
def test_blobs_of_an_id_that_no_name_can_hold_lie_in_a_folder_of_their_own(name):
    folder = blob_folder(name)

    assert re.fullmatch(r"\^\^[0-9a-f]{32}", folder)
    assert blob_folder(folder) == folder


def test_row_keys_sort_as_the_events_and_the_sentinel_comes_last():
    keys = [row_key(index) for index in (0, 9, 10, 255, 4096, 2**31)]

    assert keys[:3] == ["0000000000000000", "0000000000000009", "000000000000000A"]
    assert keys == sorted(keys)
    assert max(keys) < SENTINEL


@pytest.mark.parametrize(
    ("prefix", "bounds"),
    [
        ("order-4", ("order-4", "order-5")),
        ("@counter@", ("@counter@", "@counterA")),
        ("a/", ("a^0", "a^1")),
        ("a\ud7ff", ("a\ud7ff", "a\U00010000")),
        ("a\uffff", ("a\uffff", "b")),
        ("", ("", None)),
        ("\uffff", ("\uffff", None)),
    ],
)
def test_a_prefix_has_bounds(prefix, bounds):
    assert prefix_bounds(prefix) == bounds


_valid = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)


@given(_valid, _valid)
@example("a\ud7ff", "\U00010000")
@example("a\ud7ff", "a\ue000")
@example("\U0001f7ff", "\U0001f800")
@example("\U0010ffff", "\uffff")
@example("\uffff", "\U0010ffff")
def test_exactly_the_ids_with_a_prefix_lie_between_its_bounds(prefix, other):
    low, high = prefix_bounds(prefix)
    for instance_id in (other, prefix + other):
        key = escape_instance_id(instance_id)
        inside = _units(low) <= _units(key) and (high is None or _units(key) < _units(high))
        assert inside == key.startswith(escape_instance_id(prefix))


def _units(text: str) -> bytes:
    return text.encode("utf-16-be")
