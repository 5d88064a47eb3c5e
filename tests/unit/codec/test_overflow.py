from __future__ import annotations

import gzip

import pytest
from hypothesis import given

from taskhub.codec.overflow import compress, decompress, is_large, offload, table_time, utf16_units
from taskhub.errors import MalformedMessage, PayloadError
from taskhub.model.ids import Utc
from tests.support.strategies import texts


@given(texts)
def test_a_text_comes_back_from_its_blob(text):
    assert decompress(compress(text)) == text


def test_a_blob_is_gzip_without_a_time():
    data = compress("text" * 100)

    assert data == compress("text" * 100)
    assert gzip.decompress(data) == b"text" * 100
    assert data[4:8] == bytes(4)


@pytest.mark.parametrize("data", [b"", b"{}", compress("text")[:-9], gzip.compress(b"\xff\xfe", mtime=0)])
def test_a_blob_that_is_no_compressed_text_is_malformed(data):
    with pytest.raises(MalformedMessage, match="not gzip of UTF-8"):
        decompress(data)


@pytest.mark.parametrize(
    ("text", "large"),
    [
        ("", False),
        ("x" * 30_720, False),
        ("x" * 30_721, True),
        ("ß" * 30_720, False),
        ("日" * 30_721, True),
        ("\U0001f600" * 15_360, False),
        ("\U0001f600" * 15_361, True),
        ("\ud800" * 30_720, False),
        ("\ud800" * 30_721, True),
    ],
)
def test_a_text_is_large_when_it_exceeds_the_columns_size_in_utf_16(text, large):
    assert is_large(text) == large
    assert utf16_units(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2


def test_only_large_candidates_move():
    columns = {"Input": "i" * 30_721, "Result": "r" * 30_721, "Name": "n", "Data": "d" * 30_721}

    moved = offload(columns, ("Input", "Name", "Missing"), stem=lambda column: f"id/{column}", new_suffix=lambda: 0xAB)

    assert [(item.blob_name, item.text) for item in moved] == [("id/Input-000000AB-Input.json.gz", "i" * 30_721)]
    assert columns == {
        "Input": "",
        "InputBlobName": "id/Input-000000AB-Input.json.gz",
        "Result": "r" * 30_721,
        "Name": "n",
        "Data": "d" * 30_721,
    }


def test_a_time_before_the_first_year_of_a_table_is_refused():
    assert table_time(Utc("1601-01-01T00:00:00Z")) == "1601-01-01T00:00:00Z"
    with pytest.raises(PayloadError, match=r"1600-12-31T23:59:59Z .* 1601"):
        table_time(Utc("1600-12-31T23:59:59Z"))
    with pytest.raises(PayloadError, match="1601"):
        table_time(Utc("0001-01-01T00:00:00Z"))
