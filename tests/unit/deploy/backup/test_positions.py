"""Offsets to load from after a restore."""

from hypothesis import given
from hypothesis import strategies as st

from deploy.backup.manifest import Loaded
from deploy.backup.positions import resumption

LOADED = (Loaded("events", 0, 100), Loaded("events", 1, 50), Loaded("touches", 0, 7))


def test_what_came_since_is_loaded_again() -> None:
    found = resumption(LOADED, {("events", 0): (0, 130), ("events", 1): (20, 50), ("touches", 0): (0, 9)})
    assert found.positions == LOADED
    assert found.again == {"events": 30, "touches": 2}
    assert (found.lost, found.other) == ({}, ())


def test_what_kafka_has_dropped_is_counted_and_left_out() -> None:
    found = resumption(LOADED, {("events", 0): (120, 130), ("events", 1): (50, 60), ("touches", 0): (0, 7)})
    assert found.positions[0] == Loaded("events", 0, 120)
    assert found.again == {"events": 20}
    assert found.lost == {"events": 20}


def test_topics_that_hold_less_than_was_loaded_are_others_and_are_loaded_from_their_beginning() -> None:
    found = resumption(LOADED, {("events", 0): (0, 130), ("events", 1): (0, 3)})
    assert found.other == ("events", "touches")
    assert found.positions == ()
    assert (found.again, found.lost) == ({}, {})


@given(st.integers(0, 1_000), st.integers(0, 1_000), st.integers(0, 1_000))
def test_every_record_of_the_time_since_is_loaded_or_counted_as_lost(at: int, begin: int, more: int) -> None:
    end = begin + more
    found = resumption([Loaded("events", 0, at)], {("events", 0): (begin, end)})
    if end >= at:
        assert found.again.get("events", 0) + found.lost.get("events", 0) == end - at
        assert begin <= found.positions[0].next_offset <= end
