import random
from datetime import timedelta

import pytest

from taskhub.core.entity_sorter import MessageSorter
from taskhub.model.entities import NEVER, TICKS_PER_SECOND, Request, SorterState, Stamp
from taskhub.model.ids import Utc
from tests.support.builders import NOON

WINDOW = 1800


def stamp(seconds, ticks=0):
    return Stamp.of(NOON.plus(timedelta(seconds=seconds))).plus(ticks)


def message(name, at, after=None, *, sender="order-42", execution="e1", position=0):
    """Return a message with the label ``at`` (seconds), whose predecessor has the label ``after``."""
    return Request(
        name,
        "add",
        parent=sender,
        parent_execution=execution,
        timestamp=stamp(at),
        predecessor=NEVER if after is None else stamp(after),
        position=position,
    )


def receive(messages, sorter=None):
    """Return, for each message, the ids of what was delivered when it came."""
    sorter = sorter or MessageSorter(SorterState(), window_seconds=WINDOW)
    return [[each.id for each in sorter.receive(one)] for one in messages]


A, B, C = message("a", 1), message("b", 2, after=1), message("c", 3, after=2)


@pytest.mark.parametrize(
    ("messages", "delivered"),
    [
        ([A, B, C], [["a"], ["b"], ["c"]]),
        ([C, B, A], [[], [], ["a", "b", "c"]]),
        ([B, A, C], [[], ["a", "b"], ["c"]]),
        ([A, C, B], [["a"], [], ["b", "c"]]),
        ([A, A, B, A, B], [["a"], [], ["b"], [], []]),
        ([B, B, A, B], [[], [], ["a", "b"], []]),
    ],
    ids=["in order", "backwards", "first two swapped", "last two swapped", "second copies", "second copies waiting"],
)
def test_one_sender_is_heard_in_order_and_once(messages, delivered):
    assert receive(messages) == delivered


def test_senders_do_not_wait_for_each_other():
    other = message("x", 2, after=1, sender="order-43")

    assert receive([other, A, B]) == [[], ["a"], ["b"]]


def test_letter_case_of_senders_does_not_count():
    shouted = message("b", 2, after=1, sender="ORDER-42")

    assert receive([A, shouted]) == [["a"], ["b"]]


@pytest.mark.parametrize(
    "unlabelled",
    [
        Request("x", "add"),
        Request("x", "add", parent="order-42"),
        message("x", 1, position=1),
    ],
    ids=["a client's", "a sender that does not order", "a lock that is handed on"],
)
def test_what_takes_no_part_is_delivered_as_often_as_it_comes(unlabelled):
    assert receive([unlabelled, unlabelled]) == [["x"], ["x"]]


def test_without_a_window_nothing_is_sorted():
    assert receive([C, A, A], MessageSorter(SorterState(), window_seconds=0)) == [["c"], ["a"], ["a"]]


def test_a_new_execution_of_the_sender_begins_anew_and_frees_what_waited():
    again = message("z", 5, execution="e2")

    assert receive([C, B, again]) == [[], [], ["b", "c", "z"]]


def test_a_late_message_of_an_execution_that_is_over_does_not_disturb_the_order_of_the_current_one():
    late, first, second = message("late", 1), message("y", 5, execution="e2"), message("z", 6, after=5, execution="e2")

    assert receive([first, late, second]) == [["y"], ["late"], ["z"]]


def test_a_late_message_does_not_disturb_what_waits_for_the_first_message_of_the_current_execution():
    """Found by simulation: what waited was run out of order, and what came then waited for it for ever."""
    late = [message("b", 2, after=1), message("c", 3, after=2)]
    x, y, z = (
        message(name, at, after, execution="e2") for name, at, after in (("x", 5, None), ("y", 6, 5), ("z", 7, 6))
    )

    assert receive([A, y, *late, x, z]) == [["a"], [], ["b"], ["c"], ["x", "y"], ["z"]]


def test_what_is_older_than_the_horizon_is_not_sorted():
    new, old = message("new", 5000), message("old", 5000 - WINDOW - 11, after=1)

    assert receive([new, old, old]) == [["new"], ["old"], ["old"]]


def test_a_predecessor_behind_the_horizon_is_not_waited_for():
    late = message("late", 5000, after=5000 - WINDOW - 1)

    assert receive([late]) == [["late"]]


def test_messages_that_waited_too_long_are_delivered_when_the_horizon_moves():
    waiting = message("w", 100, after=99)
    newer = message("n", 100 + WINDOW + 100, sender="order-43")

    assert receive([A, waiting, newer]) == [["a"], [], ["w", "n"]]


def test_senders_of_long_ago_are_forgotten():
    sorter = MessageSorter(SorterState(), window_seconds=WINDOW)

    receive([A, message("n", 10_000, sender="order-43")], sorter)

    assert list(sorter.state().received) == ["order-43"]


def test_the_horizon_moves_no_more_often_than_every_ten_seconds():
    sorter = MessageSorter(SorterState(), window_seconds=WINDOW)

    horizons = []
    for seconds in (0, 9, 10, 11):
        receive([message(str(seconds), seconds, sender=f"s{seconds}")], sorter)
        horizons.append(sorter.state().receive_horizon)

    assert horizons == [stamp(-WINDOW)] * 3 + [stamp(11 - WINDOW)]


def test_a_message_whose_sender_forgot_its_predecessor_does_not_wait_behind_others():
    """The sender forgets after the window, and we may not have moved the horizon yet."""
    horizon = message("h", 95 + WINDOW, sender="order-43")
    waiting, fresh = message("w", 100, after=99), message("f", 104 + WINDOW)

    assert receive([horizon, waiting, fresh]) == [["h"], [], ["f", "w"]]


@pytest.mark.parametrize("seed", range(30))
def test_any_shuffle_of_several_senders_is_put_in_order(seed):
    draw = random.Random(seed)
    sent, sorters = [], {name: MessageSorter(SorterState(), window_seconds=WINDOW) for name in "xyz"}
    for number in range(60):
        sender = draw.choice("xyz")
        request = Request(f"{sender}{number:02}", "add", parent=sender)
        sent.append(sorters[sender].label(request, "@counter@a", stamp(draw.choice([0, number, -number]))))
    arriving = sent + draw.sample(sent, 20)
    draw.shuffle(arriving)

    delivered = [name for one in receive(arriving) for name in one]

    assert sorted(delivered) == sorted(request.id for request in sent)
    for sender in "xyz":
        own = [name for name in delivered if name.startswith(sender)]
        assert own == sorted(own)


@pytest.mark.parametrize("seed", range(10))
def test_a_sorter_that_is_stored_after_each_message_goes_on_alike(seed):
    draw = random.Random(seed)
    arriving = [message(str(n), n, after=n - 1 if n else None, sender=draw.choice("xy")) for n in range(30)] * 2
    draw.shuffle(arriving)
    state, delivered = SorterState(), []

    for one in arriving:
        sorter = MessageSorter(state, window_seconds=WINDOW)
        delivered.append([each.id for each in sorter.receive(one)])
        state = sorter.state()

    assert delivered == receive(arriving)


# ---- sending


def label(sorter, at, target="@counter@b"):
    request = sorter.label(Request("r", "add"), target, stamp(at))
    return request.timestamp, request.predecessor


def test_each_message_names_its_predecessor_to_the_same_target():
    sorter = MessageSorter(SorterState(), window_seconds=WINDOW)

    assert label(sorter, 1) == (stamp(1), NEVER)
    assert label(sorter, 2, "@counter@c") == (stamp(2), NEVER)
    assert label(sorter, 3, "@COUNTER@B") == (stamp(3), stamp(1))


def test_messages_of_one_moment_differ_by_a_tick_and_lose_their_zone():
    sorter = MessageSorter(SorterState(), window_seconds=WINDOW)

    stamps = [label(sorter, 0)[0] for _ in range(3)]

    assert [str(each) for each in stamps] == [
        "2026-01-05T12:00:00Z",
        "2026-01-05T12:00:00.0000001",
        "2026-01-05T12:00:00.0000002",
    ]


def test_a_clock_that_was_set_back_does_not_turn_the_order():
    sorter = MessageSorter(SorterState(), window_seconds=WINDOW)
    label(sorter, 100)

    assert label(sorter, 50) == (Stamp(stamp(100).ticks + 1, is_utc=False), stamp(100))


def test_targets_of_long_ago_are_forgotten():
    sorter = MessageSorter(SorterState(), window_seconds=WINDOW)
    label(sorter, 0)

    assert label(sorter, WINDOW + 11, "@counter@c") == (stamp(WINDOW + 11), NEVER)
    assert list(sorter.state().last_sent) == ["@counter@c"]
    assert sorter.state().send_horizon == stamp(11)


def test_without_a_window_nothing_is_labelled():
    assert label(MessageSorter(SorterState(), window_seconds=0), 1) == (NEVER, NEVER)


def test_stamps_count_ticks():
    assert Stamp.of(Utc("0001-01-01T00:00:01.0000001Z")).ticks == TICKS_PER_SECOND + 1
