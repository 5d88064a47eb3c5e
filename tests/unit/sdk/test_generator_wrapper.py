import pytest
from azure.durable_functions.testing import orchestrator_generator_wrapper


class FakeTask:
    def __init__(self, result=None, error=None):
        self._result, self._error = result, error

    @property
    def result(self):
        if self._error is not None:
            raise self._error
        return self._result


def test_tasks_are_yielded_their_results_sent_and_the_return_value_comes_last():
    first, second = FakeTask(1), FakeTask(2)

    def flow():
        one = yield first
        two = yield second
        return one + two

    assert list(orchestrator_generator_wrapper(flow())) == [first, second, 3]


def test_error_of_a_task_is_thrown_into_the_orchestrator():
    failing = FakeTask(error=ValueError("no"))

    def flow():
        try:
            yield failing
        except ValueError as error:
            return f"caught {error}"

    assert list(orchestrator_generator_wrapper(flow())) == [failing, "caught no"]


def test_error_that_is_not_caught_leaves_the_wrapper():
    def flow():
        yield FakeTask(error=ValueError("no"))

    wrapper = orchestrator_generator_wrapper(flow())
    next(wrapper)

    with pytest.raises(ValueError, match="no"):
        next(wrapper)


def test_orchestrator_that_yields_nothing_only_returns():
    def flow():
        return 7
        yield

    assert list(orchestrator_generator_wrapper(flow())) == [7]
