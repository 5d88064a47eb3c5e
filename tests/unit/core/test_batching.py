import pytest

from taskhub.core.batching import batch_for, execution_of
from tests.support.builders import arrival, completed, raised, started

ANSWER = arrival(completed(), execution_id="e1").envelope.message
EVENT = arrival(raised(), execution_id=None).envelope.message
START = arrival(started(), execution_id="e2").envelope.message


@pytest.mark.parametrize(
    ("message", "open_batches", "expected"),
    [
        (ANSWER, [], None),
        (ANSWER, ["e1"], 0),
        (ANSWER, ["e2"], None),
        (ANSWER, [None], 0),
        (ANSWER, ["e1", "e2"], 0),
        (EVENT, ["e1", "e2"], 1),
        (EVENT, [None], 0),
        (EVENT, [], None),
        (START, [None], None),
        (START, ["e2"], None),
    ],
)
def test_a_message_joins_the_newest_batch_of_its_execution_and_a_start_opens_one(message, open_batches, expected):
    assert batch_for(message, open_batches) == expected


def test_a_batch_adopts_the_first_execution_that_is_named():
    assert execution_of(None, EVENT) is None
    assert execution_of(None, ANSWER) == "e1"
    assert execution_of("e9", ANSWER) == "e9"
