"""The token bucket, by an injected clock."""

from services.webhooks.rate_limiter import RateLimiter


def test_without_a_limit_nobody_waits() -> None:
    limiter = RateLimiter(0.0, 0.0)
    assert all(limiter.take(0.0) == 0.0 for _ in range(10_000))


def test_a_second_s_worth_at_once_then_one_by_one() -> None:
    limiter = RateLimiter(10.0, 0.0)
    assert [limiter.take(0.0) for _ in range(10)] == [0.0] * 10
    waits = [round(limiter.take(0.0), 3) for _ in range(3)]
    assert waits == [0.1, 0.2, 0.3]


def test_over_time_it_is_the_rate_that_counts() -> None:
    limiter, now = RateLimiter(5.0, 0.0), 0.0
    for _ in range(105):
        now += limiter.take(now)
    assert 19.5 <= now <= 20.5


def test_less_than_one_a_second() -> None:
    limiter = RateLimiter(0.5, 0.0)
    assert limiter.take(0.0) == 0.0
    assert limiter.take(0.0) == 2.0
