"""A clock that only rises."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.clock import RisingClock


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(0, 10_000))
def test_each_reading_is_greater_than_all_before_whatever_the_clock_does(times: list[int], after: int) -> None:
    readings = iter(times)
    rising = RisingClock(lambda: next(readings), after)
    found = [after, *(rising() for _ in times)]
    assert all(one < other for one, other in pairwise(found))
    assert all(reading >= time for reading, time in zip(found[1:], times, strict=True))


def test_it_rises_above_what_somebody_else_has_written() -> None:
    rising = RisingClock(lambda: 5)
    rising.rise_above(100)
    assert rising() == 101
    rising.rise_above(7)
    assert rising() == 102
