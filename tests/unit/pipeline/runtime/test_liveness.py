"""Liveness of a worker."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runtime.liveness import Liveness

LIMIT = 60.0


def look(liveness: Liveness[int], now: float, ends: dict[int, int], committed: dict[int, int]) -> dict[int, float]:
    liveness.observe_ends(ends, now)
    liveness.observe_committed(committed, now)
    return liveness.stalled(now)


def test_standing_still_with_lag_is_a_stall_after_the_limit() -> None:
    liveness = Liveness[int](LIMIT)
    assert look(liveness, 0, {0: 10, 1: 5}, {0: 3, 1: 5}) == {}
    assert look(liveness, 60, {0: 10, 1: 5}, {0: 3, 1: 5}) == {}
    assert look(liveness, 61, {0: 12, 1: 5}, {0: 3, 1: 5}) == {0: 61}
    assert look(liveness, 62, {0: 12, 1: 5}, {0: 4, 1: 5}) == {}, "it moves again"
    assert look(liveness, 122, {0: 12, 1: 5}, {0: 4, 1: 5}) == {}
    assert look(liveness, 123, {0: 12, 1: 5}, {0: 4, 1: 5}) == {0: 61}


def test_nothing_to_do_is_no_stall_and_its_time_does_not_count() -> None:
    liveness = Liveness[int](LIMIT)
    assert look(liveness, 0, {0: 3}, {0: 3}) == {}
    assert look(liveness, 1_000, {0: 3}, {0: 3}) == {}
    assert look(liveness, 1_001, {0: 4}, {0: 3}) == {}, "the message has just come"
    assert look(liveness, 1_062, {0: 4}, {0: 3}) == {0: 62}


def test_what_is_given_up_and_taken_again_begins_anew() -> None:
    liveness = Liveness[int](LIMIT)
    look(liveness, 0, {0: 9}, {0: 3})
    look(liveness, 50, {0: 9}, {})
    assert look(liveness, 70, {0: 9}, {0: 3}) == {}
    assert look(liveness, 120, {0: 9}, {}) == {}


def test_a_broker_that_does_not_answer_is_no_fault_of_the_worker() -> None:
    liveness = Liveness[int](LIMIT)
    look(liveness, 0, {0: 9}, {0: 3})
    liveness.observe_committed({0: 3}, 100)
    assert liveness.stalled(100) == {}
    assert look(liveness, 101, {0: 9}, {0: 3}) == {0: 101}
    assert Liveness[int](LIMIT).stalled(5) == {}


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 3), st.integers(0, 3)), max_size=60))
@settings(max_examples=100)
def test_whoever_moves_at_least_once_in_the_limit_is_alive(steps: list[tuple[int, int, int]]) -> None:
    """Each step: seconds that pass, messages that arrive, messages committed (one at least, where there are any)."""
    liveness, now, end, committed = Liveness[int](LIMIT), 0.0, 0, 0
    for seconds, arrived, done in steps:
        now += seconds
        end += arrived
        committed = min(end, committed + max(1, done))
        assert look(liveness, now, {0: end}, {0: committed}) == {}
