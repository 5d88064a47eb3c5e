from datetime import datetime, timedelta, timezone

from taskhub.core.execution_memory import MAX_STARTS, ExecutionMemory

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def test_a_start_is_known_once_another_execution_has_come_in_its_place():
    memory = ExecutionMemory()

    memory.begin("e2", after="e1")

    assert memory.has_begun("e1")
    assert memory.has_begun("e2")
    assert not memory.has_begun("e3")


def test_the_first_execution_of_an_instance_leaves_nothing_to_store():
    memory = ExecutionMemory()

    memory.begin("e1", after=None)

    assert not memory.has_changed
    assert memory.remembered() == {}


def test_the_start_is_remembered_and_not_the_generations_that_came_of_it():
    memory = ExecutionMemory()

    memory.go_on("e1", ["a"], NOON)
    memory.go_on("generation", ["b"], NOON)

    assert memory.has_begun("e1")
    assert not memory.has_begun("generation")


def test_what_earlier_executions_took_is_known():
    memory = ExecutionMemory()

    memory.go_on("e1", ["a", None], NOON)

    assert memory.has_taken("a")
    assert not memory.has_taken("b")
    assert not memory.has_taken(None)


def test_it_is_the_same_after_it_was_stored():
    memory = ExecutionMemory()
    memory.go_on("e1", ["a"], NOON)

    again = ExecutionMemory(memory.remembered())

    assert again.has_begun("e1")
    assert again.has_taken("a")
    assert not again.has_changed


def test_starts_are_not_forgotten_for_messages_or_for_their_age():
    memory = ExecutionMemory()
    memory.go_on("e1", [], NOON)

    memory.go_on("g", [str(number) for number in range(2000)], NOON + timedelta(days=1))

    assert memory.has_begun("e1")
    assert not memory.has_taken("0")
    assert memory.has_taken("1999")


def test_only_the_last_starts_are_remembered():
    memory = ExecutionMemory()

    for number in range(MAX_STARTS + 5):
        memory.begin(f"e{number + 1}", after=f"e{number}")

    assert len(memory.remembered()) == MAX_STARTS
    assert memory.has_begun(f"e{MAX_STARTS + 5}")
    assert not memory.has_begun("e0")
