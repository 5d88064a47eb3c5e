import pytest

from taskhub.core.polling import Backoff, abandon_seconds, retry_delay


def test_waits_grow_as_the_reference_s_do_until_the_ceiling():
    backoff = Backoff(0.05, 30.0)
    delays = []
    for _ in range(13):
        backoff, delay = backoff.after_nothing(jitter=1.0)
        delays.append(delay)

    assert delays == pytest.approx([0.05, 0.1, 0.15, 0.25, 0.45, 0.85, 1.65, 3.25, 6.45, 12.85, 25.65, 30, 30])


@pytest.mark.parametrize("jitter", [0.8, 1.2])
def test_jitter_moves_a_wait_but_not_past_the_ceiling(jitter):
    backoff = Backoff(0.05, 0.2, exponent=3)

    _, delay = backoff.after_nothing(jitter)

    assert delay <= 0.2


def test_a_ceiling_below_the_floor_is_kept():
    _, delay = Backoff(0.05, 0.05, exponent=30).after_nothing(1.2)

    assert delay == pytest.approx(0.05)


@pytest.mark.parametrize(("more_likely", "expected"), [(True, 0.0), (False, 0.05)])
def test_after_messages_the_reader_looks_again_soon(more_likely, expected):
    backoff, delay = Backoff(0.05, 30.0, exponent=9).after_messages(more_likely=more_likely)

    assert (backoff.exponent, delay) == (0, expected)


def test_where_nobody_wakes_readers_they_look_again_at_once():
    _, delay = Backoff(0.05, 30.0, is_eager=True).after_messages(more_likely=False)

    assert delay == 0


def test_waking_ends_a_long_wait():
    assert Backoff(0.05, 30.0, exponent=9).after_waking() == Backoff(0.05, 30.0)


@pytest.mark.parametrize(
    ("dequeue_count", "seconds"),
    [(0, 2), (1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (30, 600), (31, 600), (9999, 600)],
)
def test_an_abandoned_message_stays_hidden_longer_each_time(dequeue_count, seconds):
    assert abandon_seconds(dequeue_count) == seconds


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 0.2), (2, 0.4), (5, 3.2), (9, 30), (500, 30)])
def test_retries_wait_longer_each_time(attempt, seconds):
    assert retry_delay(attempt, 1.0) == pytest.approx(seconds)
