from datetime import timedelta

from taskhub.core.entity_memory import MAX_MINUTES, MAX_REMEMBERED, RequestMemory
from tests.support.builders import NOON

NOW = NOON.moment()


def test_requests_and_releases_are_told_apart():
    memory = RequestMemory()
    memory.take("r1", NOW)
    memory.release("r2", NOW)

    assert [memory.has_taken(each) for each in ("r1", "r2")] == [True, False]
    assert [memory.has_released(each) for each in ("r1", "r2")] == [False, True]


def test_a_guid_is_known_in_any_spelling():
    memory = RequestMemory()
    memory.take("3FA85F64-5717-4562-B3FC-2C963F66AFA6", NOW)

    assert memory.has_taken("3fa85f64-5717-4562-b3fc-2c963f66afa6")


def test_the_newest_are_remembered():
    memory = RequestMemory()
    for number in range(MAX_REMEMBERED + 1):
        memory.take(f"r{number}", NOW)

    assert not memory.has_taken("r0")
    assert memory.has_taken("r1")
    assert len(memory.remembered()) == MAX_REMEMBERED


def test_old_ones_go_when_a_new_one_comes():
    memory = RequestMemory()
    memory.take("old", NOW)
    memory.take("late", NOW + timedelta(minutes=MAX_MINUTES))
    assert memory.has_taken("old")

    memory.take("new", NOW + timedelta(minutes=MAX_MINUTES + 1))

    assert [memory.has_taken(each) for each in ("old", "late", "new")] == [False, True, True]


def test_it_tells_whether_there_is_something_to_store():
    memory = RequestMemory({"k": 1})
    assert not memory.has_changed

    memory.take("r1", NOW)

    assert memory.has_changed
