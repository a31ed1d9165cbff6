"""Waiting in partitions of one delay each: in order, never early, little late, in few moves."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.webhooks import RETRY_DELAYS_MS
from services.webhooks.delay_queue import partition_for_wait, wait_until_ms

DAY_MS = 86_400_000


@given(st.integers(1, 2 * DAY_MS))
def test_a_message_comes_after_its_time_and_hardly_later(remaining_ms: int) -> None:
    now, moves = 0, 0
    while now < remaining_ms:
        now = wait_until_ms(partition_for_wait(remaining_ms - now), now)
        moves += 1
    assert remaining_ms <= now < remaining_ms + max(RETRY_DELAYS_MS[0], remaining_ms // 16 + 1)
    assert moves <= 3 * len(RETRY_DELAYS_MS) + remaining_ms // RETRY_DELAYS_MS[-1]


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, DAY_MS)), min_size=2, max_size=50))
def test_within_a_partition_the_order_of_writing_is_the_order_of_times(steps: list[tuple[int, int]]) -> None:
    now = 0
    ends: dict[int, list[int]] = {}
    for passed, remaining in steps:
        now += passed
        partition = partition_for_wait(remaining)
        ends.setdefault(partition, []).append(wait_until_ms(partition, now))
    assert all(times == sorted(times) for times in ends.values())


def test_a_delay_itself_is_one_move() -> None:
    for level, delay_ms in enumerate(RETRY_DELAYS_MS):
        assert partition_for_wait(delay_ms - 20) == level
