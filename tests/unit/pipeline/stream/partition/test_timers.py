from hypothesis import given
from hypothesis import strategies as st

from pipeline.stream.partition.timers import Timers

MINUTE_MS = 60_000


def test_a_timer_fires_at_the_first_full_minute_and_once() -> None:
    timers = Timers()
    timers.schedule("a", 90_000)
    assert not timers.is_due(119_999)
    assert timers.is_due(120_000)
    assert list(timers.take_due(120_000)) == ["a"]
    assert not list(timers.take_due(1_000_000))
    assert len(timers) == 0


def test_the_earlier_of_two_times_counts() -> None:
    timers = Timers()
    timers.schedule("a", 10 * MINUTE_MS)
    timers.schedule("a", 2 * MINUTE_MS)
    timers.schedule("a", 5 * MINUTE_MS)
    assert list(timers.take_due(2 * MINUTE_MS)) == ["a"]
    assert not list(timers.take_due(20 * MINUTE_MS))


def test_a_cancelled_timer_never_fires() -> None:
    timers = Timers()
    timers.schedule("a", MINUTE_MS)
    timers.cancel("a")
    timers.cancel("never there")
    assert not list(timers.take_due(10 * MINUTE_MS))


def test_what_is_scheduled_while_firing_waits_for_its_own_minute() -> None:
    timers = Timers()
    timers.schedule("a", MINUTE_MS)
    for key in timers.take_due(MINUTE_MS):
        timers.schedule(key, MINUTE_MS + 1)
    assert list(timers.take_due(2 * MINUTE_MS)) == ["a"]


def test_many_at_once_are_due_in_their_minutes_like_single_ones() -> None:
    timers = Timers()
    timers.schedule("a", 2 * MINUTE_MS)
    timers.schedule_all({"b": 2, "c": 1, "d": 7})
    timers.schedule("d", 3 * MINUTE_MS)
    assert len(timers) == 4
    assert list(timers.take_due(MINUTE_MS)) == ["c"]
    assert sorted(timers.take_due(3 * MINUTE_MS)) == ["a", "b", "d"]
    assert not list(timers.take_due(10 * MINUTE_MS))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 50 * MINUTE_MS)), max_size=40))
def test_every_key_fires_no_earlier_than_its_earliest_time_and_less_than_a_minute_late(
    entries: list[tuple[str, int]],
) -> None:
    timers = Timers()
    for key, time_ms in entries:
        timers.schedule(key, time_ms)
    earliest: dict[str, int] = {}
    for key, time_ms in entries:
        earliest[key] = min(time_ms, earliest.get(key, time_ms))
    fired: dict[str, int] = {}
    for watermark_ms in range(0, 52 * MINUTE_MS, MINUTE_MS // 2):
        for key in timers.take_due(watermark_ms):
            assert key not in fired
            fired[key] = watermark_ms
    assert fired.keys() == earliest.keys()
    assert all(0 <= fired[key] - earliest[key] < MINUTE_MS for key in fired)
