"""The circuit breaker, by an injected clock."""

from services.webhooks.circuit_breaker import FAILURES_TO_OPEN, FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS, CircuitBreaker


def opened(now: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker()
    for _ in range(FAILURES_TO_OPEN):
        assert breaker.admits(now)
        breaker.failed(now, was_probe=False)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker()
    for _ in range(3 * FAILURES_TO_OPEN):
        breaker.failed(0.0, was_probe=False)
        breaker.succeeded()
    assert breaker.is_closed
    assert not opened().is_closed


def test_open_it_lets_one_through_when_its_time_is_over() -> None:
    breaker = opened()
    assert not breaker.admits(FIRST_OPEN_SECONDS - 0.1)
    assert breaker.admits(FIRST_OPEN_SECONDS)
    assert not breaker.admits(FIRST_OPEN_SECONDS + 1), "one is on its way"


def test_a_failed_probe_doubles_the_time_up_to_a_bound() -> None:
    breaker, now = opened(), 0.0
    for _ in range(12):
        now += breaker.remaining_seconds(now)
        assert breaker.admits(now)
        breaker.failed(now, was_probe=True)
    assert breaker.remaining_seconds(now) == LONGEST_OPEN_SECONDS


def test_a_good_probe_closes_it() -> None:
    breaker = opened()
    assert breaker.admits(FIRST_OPEN_SECONDS)
    breaker.succeeded()
    assert breaker.is_closed
    assert breaker.admits(FIRST_OPEN_SECONDS)


def test_failures_of_what_was_sent_before_it_opened_change_nothing() -> None:
    breaker = opened()
    breaker.failed(1.0, was_probe=False)
    assert breaker.remaining_seconds(0.0) == FIRST_OPEN_SECONDS


def test_a_probe_that_was_never_sent_is_given_again() -> None:
    breaker = opened()
    assert breaker.admits(FIRST_OPEN_SECONDS)
    breaker.forget_probe()
    assert breaker.admits(FIRST_OPEN_SECONDS)
