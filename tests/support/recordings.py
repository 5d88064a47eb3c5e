"""The recordings under ``tests/golden`` of the .NET provider and of the extension, as our values see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GOLDEN = Path(__file__).resolve().parents[1] / "golden"

_SERVICE_COLUMNS = {"PartitionKey", "RowKey", "Timestamp", "odata.etag"}


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A table row that the reference left behind or sent."""

    where: str
    """Folder and table, for failure messages."""
    partition_key: str
    row_key: str
    columns: Mapping[str, Any]


def folders(kind: str) -> list[Path]:
    """Return the scenario folders of ``storage`` or ``extension``."""
    # A recording's own program is imported, and leaves a folder of bytecode beside those of recordings.
    return sorted(path for path in (GOLDEN / kind).iterdir() if path.is_dir() and not path.name.startswith("_"))


def columns_of(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an entity in the service's JSON, with times as ``Utc`` and nulls left out."""
    return {
        name: Utc.parse(value) if entity.get(f"{name}@odata.type") == "Edm.DateTime" else value
        for name, value in entity.items()
        if name not in _SERVICE_COLUMNS and not name.endswith("@odata.type") and value is not None
    }


def rows_left(table: str) -> Iterator[RecordedRow]:
    """Yield the rows of a table (``History``, ``Instances``, ``Partitions``) in every scenario's final state."""
    for kind in ("storage", "extension"):
        for folder in folders(kind):
            tables = json.loads((folder / "state.json").read_text(encoding="utf-8"))["tables"]
            for name, entities in tables.items():
                if name.endswith(table):
                    for entity in entities:
                        yield _row(f"{kind}/{folder.name} {name}", entity)


def requests_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the recorded requests of a ``storage`` scenario in order."""
    for line in (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def batch_rows(request: Mapping[str, Any]) -> list[RecordedRow]:
    """Return the rows that a table transaction writes, as far as the recording kept them; deletions have none."""
    return [
        _row(f"request {request['n']}", operation["body"])
        for operation in request["body"]
        if isinstance(operation, dict) and "body" in operation
    ]


def is_cut(value: object) -> bool:
    """Return whether a recorded value was shortened (the READMEs of the recordings say how)."""
    return "[cut: " in str(value) or "\u00ab" in str(value)


def _row(where: str, entity: Mapping[str, Any]) -> RecordedRow:
    return RecordedRow(where, entity["PartitionKey"], entity["RowKey"], columns_of(entity))
