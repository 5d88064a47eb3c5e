"""JSON with custom classes: what this package does by itself is what ``azure.functions`` would do."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from azure.durable_functions._serialization import compact_json, df_dumps, df_loads
from azure.functions import _durable_functions as worker

# The worker says once per process that its loose mode will go; plain values do not reach it here.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

compared_with_worker = pytest.mark.skipif(
    not hasattr(worker, "df_dumps"), reason="azure-functions before 1.26 leaves the encoding to this package"
)

STRICT = "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING"


class Point:
    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)

    def to_json(self) -> Any:
        return {"x": self.x}

    @staticmethod
    def from_json(data: Any) -> Point:
        return Point(data["x"])


PLAIN = [None, True, 0, -1, 1.5, "", "é\u2028\n", [], {}, [1, None, {"a": ["é"]}], {"1": 2}, (1, 2), float("inf")]
CUSTOM = [Point(1), Point(Point(2)), [Point(1)], {"p": Point(None)}]
BAD = [{1, 2}, object(), {"a": {1}}, {(1,): 2}]


@pytest.fixture(params=["0", "1"], ids=["loose", "strict"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    value: str = request.param
    monkeypatch.setenv(STRICT, value)
    return value


def outcome(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), str(error)


def name_of(value: Any) -> str:
    """Name a case alike in every process, whatever addresses the objects have."""
    return re.sub(r" object at 0x[0-9a-f]+", "", repr(value))


@compared_with_worker
@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("value", [*PLAIN, *CUSTOM, *BAD], ids=name_of)
def test_values_are_encoded_as_the_worker_does(value: Any) -> None:
    assert outcome(df_dumps, value) == outcome(worker.df_dumps, value)


@compared_with_worker
@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("expected", [None, int, str, Point])
@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps(value) for value in PLAIN),
        *(json.dumps(value, default=worker._serialize_custom_object) for value in CUSTOM),
        *("", "bad", "1 2", " 1 ", '{"a": 1', b"[1]"),
    ],
)
def test_texts_are_decoded_as_the_worker_does(text: Any, expected: Any) -> None:
    assert outcome(df_loads, text, expected) == outcome(worker.df_loads, text, expected)


@pytest.mark.parametrize("value", [Point(3), [Point(Point("é"))]])
def test_custom_classes_come_back(value: Any) -> None:
    assert df_loads(df_dumps(value)) == value


def test_stored_json_has_no_blanks_and_keeps_its_characters() -> None:
    assert compact_json({"é": [1, "ü"]}) == '{"é":[1,"ü"]}'
    assert compact_json(Point("é")) == f'{{"__class__":"Point","__module__":"{__name__}","__data__":{{"x":"é"}}}}'
