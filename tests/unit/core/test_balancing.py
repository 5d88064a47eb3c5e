import pytest

from taskhub.core.balancing import Change, Standing, is_alone, plan_round
from taskhub.model.ids import WorkerId
from tests.support.builders import NOON, at, lease


def plan(leases, me="a", **standing):
    names = {
        name: frozenset(f"hub-control-{n:02}" for n in numbers)
        for name, numbers in standing.items()
        if name != "is_leaving"
    }
    view = Standing(WorkerId(me), **names, is_leaving=standing.get("is_leaving", False))
    return plan_round(leases, view, now=NOON, lease_seconds=30)


def changes(round_):
    return [(write.change, int(write.lease.queue[-2:])) for write in round_.writes]


def test_free_rows_are_claimed_for_the_length_of_a_lease():
    round_ = plan([lease(0), lease(1)])

    assert changes(round_) == [(Change.CLAIM, 0), (Change.CLAIM, 1)]
    claimed = round_.writes[0].lease
    assert (claimed.owner, claimed.owned_since, claimed.last_renewal, claimed.expires_at) == ("a", NOON, NOON, at(30))
    assert claimed.etag == "etag-0"


@pytest.mark.parametrize(
    ("row", "standing", "expected"),
    [
        (lease(0, "a"), {"reading": [0]}, (Change.RENEW, "a", None, False)),
        (lease(0, "a", expires_in=-1), {"reading": [0]}, (Change.RENEW, "a", None, False)),
        (lease(0, "a", expires_in=-1), {}, (Change.CLAIM, "a", None, False)),
        (lease(0, "b", expires_in=0), {}, (Change.CLAIM, "a", None, False)),
        (lease(0, "b", next_owner="c", expires_in=-1), {}, (Change.CLAIM, "a", None, False)),
        (lease(0, None, next_owner="a"), {}, (Change.CLAIM, "a", None, False)),
        (lease(0, None, next_owner="b", expires_in=-1), {}, (Change.CLAIM, "a", None, False)),
        (lease(0, "b", is_draining=True), {}, (Change.STEAL, "b", "a", True)),
        (lease(0, "a", next_owner="b"), {"reading": [0]}, (Change.DRAIN, "a", "b", True)),
        (lease(0, "a", next_owner="b", is_draining=True), {"reading": [0]}, (Change.DRAIN, "a", "b", True)),
        (
            lease(0, "a", next_owner="b", is_draining=True),
            {"reading": [0], "drained": [0]},
            (Change.RELEASE, None, "b", False),
        ),
        (lease(0, "a"), {"reading": [0], "is_leaving": True}, (Change.DRAIN, "a", None, True)),
        (lease(0, "a"), {"reading": [0], "drained": [0], "is_leaving": True}, (Change.RELEASE, None, None, False)),
        (lease(0, "a"), {"is_leaving": True}, (Change.RELEASE, None, None, False)),
    ],
)
def test_each_state_of_a_row_has_its_move(row, standing, expected):
    (write,) = plan([row], **standing).writes

    assert (write.change, write.lease.owner, write.lease.next_owner, write.lease.is_draining) == expected


@pytest.mark.parametrize(
    ("row", "standing"),
    [
        (lease(0, "b"), {}),
        (lease(0, "b", next_owner="a"), {}),
        (lease(0, "b", next_owner="c"), {}),
        (lease(0, None, next_owner="b"), {}),
        (lease(0), {"is_leaving": True}),
        (lease(0, "b", expires_in=-1), {"is_leaving": True}),
        (lease(0, "b", is_draining=True), {"is_leaving": True}),
    ],
)
def test_what_is_another_s_is_left_alone(row, standing):
    assert plan([row], **standing).writes == ()


def test_a_renewal_keeps_the_time_since_which_a_partition_is_owned():
    (write,) = plan([lease(0, "a")], reading=[0]).writes

    assert (write.lease.owned_since, write.lease.last_renewal, write.lease.expires_at) == (at(-100), NOON, at(30))


@pytest.mark.parametrize(
    ("owners", "me", "stolen"),
    [
        ("bbbb", "a", [0, 1]),
        ("b", "a", []),
        ("bb", "a", [0]),
        ("bbbc", "a", [0]),
        ("bbcc", "a", [0]),
        ("abbb", "a", [1]),
        ("aabb", "a", []),
        ("aaab", "a", []),
        ("bbbbb", "a", [0, 1]),
        ("bbbccc", "a", [0, 3]),
        ("bbbbbbbbcccccccc", "a", [0, 1, 2, 8, 9]),
    ],
)
def test_a_worker_takes_its_share_and_no_more(owners, me, stolen):
    rows = [lease(number, owner) for number, owner in enumerate(owners)]

    round_ = plan(rows, me, reading=[number for number, owner in enumerate(owners) if owner == me])

    assert [number for change, number in changes(round_) if change is Change.STEAL] == stolen
    assert round_.is_urgent == bool(stolen)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (lease(0), True),
        (lease(0, "a"), True),
        (lease(0, "a", expires_in=-1), True),
        (lease(0, "a", is_draining=True), True),
        (lease(0, "b", expires_in=-1), True),
        (lease(0, "b"), False),
        (lease(0, "a", next_owner="b"), False),
        (lease(0, None, next_owner="b"), False),
        (lease(0, "b", next_owner="a"), False),
        (lease(0, "b", next_owner="c", expires_in=-1), False),
    ],
)
def test_a_worker_is_alone_when_no_row_tells_of_another_one(row, expected):
    assert is_alone([lease(1, "a"), row], WorkerId("a"), now=NOON) is expected


def test_rows_on_their_way_count_for_who_gets_them():
    rows = [lease(0, "b", next_owner="a"), lease(1, "b", next_owner="a"), lease(2, "b"), lease(3, "b")]

    round_ = plan(rows)

    assert round_.writes == ()
    assert round_.is_urgent


def test_a_partition_that_another_worker_owns_is_lost():
    round_ = plan([lease(0, "b"), lease(1, "a")], reading=[0, 1])

    assert round_.lost == {"hub-control-00"}
    assert changes(round_) == [(Change.RENEW, 1)]


def test_several_workers_come_to_even_shares_and_rest():
    """Play rounds of one worker after the other until nobody wants anything."""
    rows = {number: lease(number) for number in range(16)}
    reading = {name: set() for name in "abc"}
    for _ in range(20):
        for name in "abc":
            mine = reading[name]
            round_ = plan(list(rows.values()), name, reading=mine, drained=[n for n in mine if rows[n].next_owner])
            for write in round_.writes:
                number = int(write.lease.queue[-2:])
                rows[number] = write.lease
                if write.change is Change.CLAIM:
                    mine.add(number)
                elif write.change is Change.RELEASE:
                    mine.discard(number)

    assert sorted(len(each) for each in reading.values()) == [5, 5, 6]
    assert not any(row.next_owner for row in rows.values())
