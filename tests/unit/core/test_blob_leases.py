import random

import pytest

from taskhub.core.balancing import Standing
from taskhub.core.blob_leases import Fate, SeenLease, Taking, fate_of, plan_taking
from taskhub.model.ids import WorkerId


def seen(number, owner):
    """A lease as others see it; `-` is free, `?` is leased by somebody who has not signed yet."""
    return SeenLease(f"q{number}", None if owner in "-?" else WorkerId(owner), is_free=owner == "-")


def taking(owners, me="a"):
    others = [seen(number, owner) for number, owner in enumerate(owners) if owner != me]
    return plan_taking(others, WorkerId(me), held=owners.count(me))


@pytest.mark.parametrize(
    ("owners", "claims", "steal"),
    [
        ("----", ("q0", "q1", "q2", "q3"), None),
        ("bbbb", (), "q0"),
        ("abbb", (), "q1"),
        ("aabb", (), None),
        ("bb--", ("q2", "q3"), None),
        ("b---", ("q1", "q2"), None),
        ("b", (), None),
        ("bc", (), None),
        ("bbc", (), "q0"),
        ("abbc", (), None),
        ("abbbc", (), "q1"),
        ("bbccc", (), "q2"),
        ("bbbccc", (), "q0"),
        ("????", (), None),
        ("?b--", ("q2", "q3"), None),
        ("aaaa", (), None),
    ],
)
def test_a_worker_takes_what_is_free_and_steals_one_where_nothing_is(owners, claims, steal):
    assert taking(owners) == Taking(claims, steal)


@pytest.mark.parametrize("partitions", range(1, 17))
@pytest.mark.parametrize("workers", range(1, 6))
def test_workers_come_to_shares_that_differ_by_one_at_most(partitions, workers):
    draw = random.Random(f"{partitions}/{workers}")
    names = "abcdefgh"[:workers]
    owners = ["a"] * partitions
    for _ in range(partitions * workers):
        for me in draw.sample(names, workers):
            plan = taking("".join(owners), me)
            for queue in [*plan.claims, *([plan.steal] if plan.steal else [])]:
                owners[int(queue[1:])] = me
    shares = [owners.count(name) for name in names]

    assert max(shares) - min(shares) <= 1
    assert all(taking("".join(owners), me) == Taking() for me in names)


@pytest.mark.parametrize(
    ("is_wanted", "reading", "drained", "fate"),
    [
        (True, ["q"], [], Fate.OWN),
        (True, [], [], Fate.OWN),
        (True, ["q"], ["q"], Fate.OWN),
        (False, ["q"], [], Fate.DRAIN),
        (False, ["q"], ["q"], Fate.RELEASE),
        (False, [], [], Fate.RELEASE),
    ],
)
def test_a_partition_is_given_back_when_its_instances_are_at_rest(is_wanted, reading, drained, fate):
    standing = Standing(WorkerId("a"), frozenset(reading), frozenset(drained))

    assert fate_of("q", standing, is_wanted=is_wanted) is fate
