from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.core.partitioning import app_lease_id, fnv1a, partition_of

VECTORS = [
    # instance id, hash, partition of 3, of 4, of 16 (storage.md 5.1)
    ("", 0x811C9DC5, 1, 1, 5),
    ("a", 0xE40C292C, 1, 0, 12),
    ("abc", 0x1A47E90B, 2, 3, 11),
    ("foobar", 0xBF9CF968, 1, 0, 8),
    ("instance1", 0xC8489B99, 1, 1, 9),
    ("00000000000000000000000000000000", 0xF0C86445, 0, 1, 5),
    ("2f1d0c6c5e2a4f0a9a3c6c0f5a1b7d42", 0x52A29965, 0, 1, 5),
    ("2F1D0C6C5E2A4F0A9A3C6C0F5A1B7D42", 0x529F26C5, 2, 1, 5),
    ("@counter@a", 0xCA406906, 2, 2, 6),
    ("@counter@", 0xCE8D2EC3, 0, 3, 3),
    ("order/42", 0x6CCBED52, 0, 2, 2),
    ("user-1", 0xF5537974, 1, 0, 4),
    ("aae324dcc8f943e490b37ec5e5bbf9da:0", 0x78790772, 2, 2, 2),
    ("Größe", 0x48B3427A, 1, 2, 10),
    ("日本語", 0x805F5CE7, 0, 3, 7),
    ("\U0001f600", 0x33A29608, 2, 0, 8),
]


@pytest.mark.parametrize(("instance_id", "hashed", "of_3", "of_4", "of_16"), VECTORS)
def test_an_instance_belongs_to_the_partition_that_the_reference_computes(instance_id, hashed, of_3, of_4, of_16):
    assert fnv1a(instance_id.encode()) == hashed
    assert (partition_of(instance_id, 3), partition_of(instance_id, 4), partition_of(instance_id, 16)) == (
        of_3,
        of_4,
        of_16,
    )


def test_half_of_a_surrogate_pair_counts_as_the_replacement_character():
    assert partition_of("a\ud800b", 16) == partition_of("a\ufffdb", 16)


@given(st.text(st.characters(exclude_categories=())), st.integers(1, 16))
def test_every_id_belongs_to_one_of_the_partitions(instance_id, count):
    assert 0 <= partition_of(instance_id, count) < count


@pytest.mark.parametrize(("app_name", "head"), [("MyApp", "828293a6"), ("testhub-app", "040f1306"), ("", "811c9dc5")])
def test_the_app_lease_id_is_made_of_the_hash_of_the_app_name(app_name, head):
    assert app_lease_id(app_name) == f"{head}-0000-0000-0000-000000000000"


def test_the_example_in_the_docs_holds():
    page = Path(__file__).parents[3] / "docs" / "reference" / "storage-layout.md"
    (example,) = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)

    exec(example, {})
