"""What may be committed, and the numbers that go with it."""

from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.tracker import MAX_METADATA_BYTES, Tracker, read_metadata

A, B = "whe_a", "whe_b"


def test_only_what_everything_before_is_done_with_can_be_committed() -> None:
    tracker = Tracker({})
    for offset in (5, 6, 7):
        tracker.began(offset, 2)
    tracker.done(6)
    tracker.done(6)
    assert tracker.committable() is None
    tracker.done(5)
    tracker.done(5)
    assert tracker.committable() == 7
    assert tracker.open_records == 1


def test_an_empty_record_is_done_at_once() -> None:
    tracker = Tracker({})
    tracker.began(3, 0)
    assert tracker.committable() == 4


def test_the_counts_committed_are_those_at_the_offset() -> None:
    tracker = Tracker({A: 10})
    tracker.began(0, 1)
    tracker.began(1, 2)
    assert tracker.number(0, A) == 11
    assert [tracker.number(1, A), tracker.number(1, B)] == [12, 1]
    tracker.done(1)
    tracker.done(1)
    assert read_metadata(tracker.metadata()) == {A: 10}
    tracker.done(0)
    assert read_metadata(tracker.metadata()) == {A: 12, B: 1}


@given(
    st.lists(st.lists(st.sampled_from([A, B, "whe_c"]), max_size=4), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(0, 12),
)
def test_read_again_after_a_crash_every_delivery_gets_the_number_it_had(records, random, finished) -> None:  # type: ignore[no-untyped-def]
    tracker = Tracker({})
    numbers = {}
    for offset, endpoints in enumerate(records):
        tracker.began(offset, len(endpoints))
        for index, endpoint in enumerate(endpoints):
            numbers[offset, index] = tracker.number(offset, endpoint)
    order = [offset for offset, endpoints in enumerate(records) for _ in endpoints]
    random.shuffle(order)
    for offset in order[:finished]:
        tracker.done(offset)
    start = tracker.committable() or 0
    again = Tracker(read_metadata(tracker.metadata()))
    for offset in range(start, len(records)):
        again.began(offset, len(records[offset]))
        for index, endpoint in enumerate(records[offset]):
            assert again.number(offset, endpoint) == numbers[offset, index]


def test_repeats_are_known() -> None:
    tracker = Tracker({})
    assert not tracker.is_repeat("whd_1")
    assert tracker.is_repeat("whd_1")
    assert not Tracker({}).is_repeat("whd_1")


def test_of_too_many_endpoints_the_longest_idle_are_left_out() -> None:
    tracker = Tracker({f"whe_{n:012}": n for n in range(1_000)})
    tracker.began(0, 1)
    tracker.number(0, "whe_000000000000")
    tracker.done(0)
    text = tracker.metadata()
    kept = read_metadata(text)
    assert len(text) <= MAX_METADATA_BYTES
    assert kept["whe_000000000000"] == 1
    assert len(kept) > 200
    assert kept["whe_000000000999"] == 999


def test_metadata_that_is_not_ours_counts_nothing() -> None:
    assert read_metadata("") == {}
    assert read_metadata("something else") == {}
