"""A service that ends by design comes back, but not for ever."""

from deploy.local.restarts import LIMIT, WINDOW_SECONDS, Restarts


def test_longer_and_longer_until_it_is_enough() -> None:
    restarts = Restarts()
    assert [restarts.next_delay_seconds(float(n)) for n in range(LIMIT + 1)] == [1, 2, 4, 8, 16, None]


def test_what_is_long_ago_does_not_count() -> None:
    restarts = Restarts()
    for n in range(LIMIT):
        restarts.next_delay_seconds(float(n))
    assert restarts.next_delay_seconds(WINDOW_SECONDS) is None
    assert restarts.next_delay_seconds(WINDOW_SECONDS + 2.5) == 4
