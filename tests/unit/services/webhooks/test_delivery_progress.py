"""Offsets that may be committed, and the numbers that go with them."""

from hypothesis import given
from hypothesis import strategies as st

from services.webhooks.delivery_progress import (
    MAX_METADATA_BYTES,
    NOTHING,
    DeliveryProgress,
    Mark,
    State,
    read_metadata,
)

A, B = "whe_a", "whe_b"


def test_only_what_everything_before_is_done_with_can_be_committed() -> None:
    progress = DeliveryProgress()
    for offset in (5, 6, 7):
        progress.began(offset, 2)
    progress.done(6)
    progress.done(6)
    assert progress.committable() is None
    progress.done(5)
    progress.done(5)
    assert progress.committable() == 7
    assert progress.open_records == 1


def test_an_empty_record_is_done_at_once() -> None:
    progress = DeliveryProgress()
    progress.began(3, 0)
    assert progress.committable() == 4


def test_the_counts_committed_are_those_at_the_offset() -> None:
    progress = DeliveryProgress(State({A: 10}, {}))
    progress.began(0, 1)
    progress.began(1, 2)
    assert progress.number(0, A) == 11
    assert [progress.number(1, A), progress.number(1, B)] == [12, 1]
    progress.done(1)
    progress.done(1)
    assert read_metadata(progress.metadata()) == State({A: 10}, {})
    progress.done(0)
    assert read_metadata(progress.metadata()) == State({A: 12, B: 1}, {})


@given(
    st.lists(st.lists(st.sampled_from([A, B, "whe_c"]), max_size=4), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(0, 12),
)
def test_read_again_after_a_crash_every_delivery_gets_the_number_it_had(records, random, finished) -> None:  # type: ignore[no-untyped-def]
    progress = DeliveryProgress()
    numbers = {}
    for offset, endpoints in enumerate(records):
        progress.began(offset, len(endpoints))
        for index, endpoint in enumerate(endpoints):
            numbers[offset, index] = progress.number(offset, endpoint)
    order = [offset for offset, endpoints in enumerate(records) for _ in endpoints]
    random.shuffle(order)
    for offset in order[:finished]:
        progress.done(offset)
    start = progress.committable() or 0
    again = DeliveryProgress(read_metadata(progress.metadata()))
    for offset in range(start, len(records)):
        again.began(offset, len(records[offset]))
        for index, endpoint in enumerate(records[offset]):
            assert again.number(offset, endpoint) == numbers[offset, index]


def test_a_delivery_written_again_is_known_over_a_restart_to_each_endpoint() -> None:
    """A crash of the writer repeats a whole record; each delivery of it is a repeat, of whichever endpoint."""
    progress = DeliveryProgress()
    places = [Mark(offset, row, 1_000 + offset, name) for offset in (7, 8) for row in range(3) for name in (A, B)]
    progress.began(0, len(places))
    assert [progress.is_repeat(0, "cv1", place) for place in places] == [False] * 12
    assert [progress.is_repeat(0, "cv1", place) for place in places] == [True] * 12
    assert not progress.is_repeat(0, "cv1", places[-1]._replace(endpoint_id="whe_c")), "another endpoint"
    assert not progress.is_repeat(0, "cv2", places[0]), "another source"
    for _ in places:
        progress.done(0)
    again = DeliveryProgress(read_metadata(progress.metadata()))
    again.began(1, 12)
    assert [again.is_repeat(1, "cv1", place) for place in places] == [True] * 12


def test_a_restart_between_two_endpoints_of_one_fact_repeats_neither() -> None:
    first, second = Mark(7, 0, 1_000, A), Mark(7, 0, 1_000, B)
    progress = DeliveryProgress()
    progress.began(0, 1)
    assert not progress.is_repeat(0, "cv1", first)
    progress.done(0)
    again = DeliveryProgress(read_metadata(progress.metadata()))
    again.began(1, 3)
    assert [again.is_repeat(1, "cv1", place) for place in (first, second, second)] == [True, False, True]


def test_marks_of_before_endpoints_were_in_them_are_read() -> None:
    state = read_metadata("1|c1:900.3.5000|a:7")
    assert state == State({A: 7}, {"c1": Mark(900, 3, 5_000)})
    progress = DeliveryProgress(state)
    progress.began(0, 2)
    assert progress.is_repeat(0, "c1", Mark(900, 2, 5_000, B))
    assert not progress.is_repeat(0, "c1", Mark(900, 3, 5_000, A)), "not known of whom: sent again with the same id"


def test_a_source_that_was_made_anew_begins_again() -> None:
    progress = DeliveryProgress(State({}, {"cv1": Mark(900, 0, 5_000, A)}))
    progress.began(0, 2)
    assert not progress.is_repeat(0, "cv1", Mark(0, 0, 6_000, A))
    assert not progress.is_repeat(0, "cv1", Mark(1, 0, 6_000, A))
    assert progress.is_repeat(0, "cv1", Mark(0, 0, 6_000, A))


def test_of_too_many_endpoints_the_longest_idle_are_left_out() -> None:
    progress = DeliveryProgress(
        State(
            {f"whe_{n:012}": n for n in range(1_000)},
            {f"cv{n}": Mark(n, 0, 1_700_000_000_000, "whe_000000000000") for n in range(500)},
        )
    )
    progress.began(0, 1)
    progress.number(0, "whe_000000000000")
    progress.done(0)
    text = progress.metadata()
    kept, kept_marks = read_metadata(text)
    assert len(text) <= MAX_METADATA_BYTES
    assert kept["whe_000000000000"] == 1
    assert len(kept) > 100
    assert len(kept_marks) > 45
    assert "cv499" in kept_marks
    assert kept["whe_000000000999"] == 999


def test_metadata_that_is_not_ours_counts_nothing() -> None:
    assert read_metadata("") == read_metadata("something else") == NOTHING
