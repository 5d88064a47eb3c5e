from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from taskhub.codec.lease_rows import decode_lease, encode_lease
from taskhub.errors import MalformedMessage
from taskhub.model.ids import ETag, Utc
from taskhub.model.leases import PartitionLease
from tests.support.strategies import leases


def test_a_new_lease_has_one_column():
    assert encode_lease(PartitionLease("hub-control-00")) == {"IsDraining": False}


def test_an_owned_lease_has_its_columns():
    lease = PartitionLease(
        queue="hub-control-00",
        owner="worker-1",
        next_owner="worker-2",
        owned_since=Utc("2024-02-27T17:20:34Z"),
        last_renewal=Utc("2024-02-27T17:20:35Z"),
        expires_at=Utc("2024-02-27T17:21:05Z"),
        is_draining=True,
    )

    assert encode_lease(lease) == {
        "CurrentOwner": "worker-1",
        "NextOwner": "worker-2",
        "OwnedSince": Utc("2024-02-27T17:20:34Z"),
        "LastRenewal": Utc("2024-02-27T17:20:35Z"),
        "ExpiresAt": Utc("2024-02-27T17:21:05Z"),
        "IsDraining": True,
    }


@given(leases)
def test_every_lease_comes_back_from_its_row(lease):
    assert decode_lease(lease.queue, encode_lease(lease), ETag("e")) == replace(lease, etag=ETag("e"))


def test_an_empty_owner_is_none():
    assert decode_lease("q", {"CurrentOwner": "", "NextOwner": ""}, None) == PartitionLease("q")


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"CurrentOwner": 1}, "CurrentOwner: expected a text, got an integer"),
        ({"ExpiresAt": "soon"}, "ExpiresAt: expected a DateTime, got a text"),
        ({"IsDraining": "no"}, "IsDraining: expected true or false, got a text"),
    ],
)
def test_what_the_reference_never_writes_is_refused(columns, complaint):
    with pytest.raises(MalformedMessage, match=f"lease row 'q' .*{complaint}"):
        decode_lease("q", columns, None)
