from __future__ import annotations

import pytest

from taskhub.codec.documents import (
    AppLeaseInfo,
    BlobLease,
    HubInfo,
    decode_app_lease_info,
    decode_blob_lease,
    decode_hub_info,
    encode_app_lease_info,
    encode_blob_lease,
    encode_hub_info,
)
from taskhub.errors import MalformedMessage
from taskhub.model.ids import Utc

HUB = HubInfo("Hub", Utc("2024-02-27T17:20:34.5678901Z"), 4)
HUB_TEXT = '{"TaskHubName":"Hub","CreatedAt":"2024-02-27T17:20:34.5678901Z","PartitionCount":4}'
OWNER = "828293a6-0000-0000-0000-000000000000"
TOKEN = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


@pytest.mark.parametrize(
    ("encode", "decode", "value", "text"),
    [
        (encode_hub_info, decode_hub_info, HUB, HUB_TEXT),
        (encode_app_lease_info, decode_app_lease_info, AppLeaseInfo(), "{}"),
        (
            encode_app_lease_info,
            decode_app_lease_info,
            AppLeaseInfo(OWNER),
            f'{{"OwnerId":"{OWNER}","DesiredSwapId":null}}',
        ),
        (
            encode_blob_lease,
            decode_blob_lease,
            BlobLease("hub-control-00"),
            '{"PartitionId":"hub-control-00","Owner":null,"Token":null,"Epoch":0}',
        ),
        (
            encode_blob_lease,
            decode_blob_lease,
            BlobLease("hub-control-00", "worker-1", TOKEN, 3),
            f'{{"PartitionId":"hub-control-00","Owner":"worker-1","Token":"{TOKEN}","Epoch":3}}',
        ),
    ],
)
def test_a_document_is_its_text(encode, decode, value, text):
    assert encode(value) == text
    assert decode(text) == value


@pytest.mark.parametrize(
    ("decode", "text", "complaint"),
    [
        (decode_hub_info, "", r"taskhub\.json .*not JSON"),
        (decode_hub_info, "null", r"taskhub\.json is empty"),
        (decode_hub_info, "{}", r"taskhub\.json .*lacks TaskHubName"),
        (decode_hub_info, HUB_TEXT.replace("2024", "then"), "CreatedAt: not a time"),
        (decode_hub_info, HUB_TEXT.replace(":4", ':"4"'), "PartitionCount: expected an integer, got a text"),
        (decode_app_lease_info, "[]", "app lease info .*expected an object, got an array"),
        (decode_app_lease_info, '{"OwnerId":1}', "OwnerId: expected a text, got an integer"),
        (decode_blob_lease, '{"Owner":"w"}', "lease blob .*lacks PartitionId"),
    ],
)
def test_what_the_reference_never_writes_is_refused(decode, text, complaint):
    with pytest.raises(MalformedMessage, match=complaint):
        decode(text)
