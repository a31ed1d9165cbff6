"""Offsets that may be committed, and the numbers that go with them."""

from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.tracker import MAX_METADATA_BYTES, NOTHING, Mark, State, Tracker, read_metadata

A, B = "whe_a", "whe_b"


def test_only_what_everything_before_is_done_with_can_be_committed() -> None:
    tracker = Tracker()
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
    tracker = Tracker()
    tracker.began(3, 0)
    assert tracker.committable() == 4


def test_the_counts_committed_are_those_at_the_offset() -> None:
    tracker = Tracker(State({A: 10}, {}))
    tracker.began(0, 1)
    tracker.began(1, 2)
    assert tracker.number(0, A) == 11
    assert [tracker.number(1, A), tracker.number(1, B)] == [12, 1]
    tracker.done(1)
    tracker.done(1)
    assert read_metadata(tracker.metadata()) == State({A: 10}, {})
    tracker.done(0)
    assert read_metadata(tracker.metadata()) == State({A: 12, B: 1}, {})


@given(
    st.lists(st.lists(st.sampled_from([A, B, "whe_c"]), max_size=4), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(0, 12),
)
def test_read_again_after_a_crash_every_delivery_gets_the_number_it_had(records, random, finished) -> None:  # type: ignore[no-untyped-def]
    tracker = Tracker()
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


def test_a_delivery_written_again_is_known_over_a_restart_to_each_endpoint() -> None:
    """A crash of the writer repeats a whole record; each delivery of it is a repeat, of whichever endpoint."""
    tracker = Tracker()
    places = [Mark(offset, row, 1_000 + offset, name) for offset in (7, 8) for row in range(3) for name in (A, B)]
    tracker.began(0, len(places))
    assert [tracker.is_repeat(0, "cv1", place) for place in places] == [False] * 12
    assert [tracker.is_repeat(0, "cv1", place) for place in places] == [True] * 12
    assert not tracker.is_repeat(0, "cv1", places[-1]._replace(endpoint_id="whe_c")), "another endpoint"
    assert not tracker.is_repeat(0, "cv2", places[0]), "another source"
    for _ in places:
        tracker.done(0)
    again = Tracker(read_metadata(tracker.metadata()))
    again.began(1, 12)
    assert [again.is_repeat(1, "cv1", place) for place in places] == [True] * 12


def test_a_restart_between_two_endpoints_of_one_fact_repeats_neither() -> None:
    first, second = Mark(7, 0, 1_000, A), Mark(7, 0, 1_000, B)
    tracker = Tracker()
    tracker.began(0, 1)
    assert not tracker.is_repeat(0, "cv1", first)
    tracker.done(0)
    again = Tracker(read_metadata(tracker.metadata()))
    again.began(1, 3)
    assert [again.is_repeat(1, "cv1", place) for place in (first, second, second)] == [True, False, True]


def test_marks_of_before_endpoints_were_in_them_are_read() -> None:
    state = read_metadata("1|c1:900.3.5000|a:7")
    assert state == State({A: 7}, {"c1": Mark(900, 3, 5_000)})
    tracker = Tracker(state)
    tracker.began(0, 2)
    assert tracker.is_repeat(0, "c1", Mark(900, 2, 5_000, B))
    assert not tracker.is_repeat(0, "c1", Mark(900, 3, 5_000, A)), "not known of whom: sent once more, with the same id"


def test_a_source_that_was_made_anew_begins_again() -> None:
    tracker = Tracker(State({}, {"cv1": Mark(900, 0, 5_000, A)}))
    tracker.began(0, 2)
    assert not tracker.is_repeat(0, "cv1", Mark(0, 0, 6_000, A))
    assert not tracker.is_repeat(0, "cv1", Mark(1, 0, 6_000, A))
    assert tracker.is_repeat(0, "cv1", Mark(0, 0, 6_000, A))


def test_of_too_many_endpoints_the_longest_idle_are_left_out() -> None:
    tracker = Tracker(
        State(
            {f"whe_{n:012}": n for n in range(1_000)},
            {f"cv{n}": Mark(n, 0, 1_700_000_000_000, "whe_000000000000") for n in range(500)},
        )
    )
    tracker.began(0, 1)
    tracker.number(0, "whe_000000000000")
    tracker.done(0)
    text = tracker.metadata()
    kept, kept_marks = read_metadata(text)
    assert len(text) <= MAX_METADATA_BYTES
    assert kept["whe_000000000000"] == 1
    assert len(kept) > 100
    assert len(kept_marks) > 45
    assert "cv499" in kept_marks
    assert kept["whe_000000000999"] == 999


def test_metadata_that_is_not_ours_counts_nothing() -> None:
    assert read_metadata("") == read_metadata("something else") == NOTHING
