import tracemalloc
from collections.abc import Sequence

from pipeline.domain.state import PersonState, Segment, Touch, encode_state, new_state
from pipeline.stream.partition.state_cache import DECODED_FACTOR, USUAL_BYTES, LiveStates


class Reads:
    def __init__(self, data: dict[bytes, bytes] | None = None) -> None:
        self.data = data or {}
        self.asked: list[bytes] = []

    def __call__(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.asked += keys
        return [self.data.get(key) for key in keys]


def _state(version: int) -> bytes:
    state = new_state()
    state.version = version
    return encode_state(state)


def test_a_state_is_read_once_and_a_stranger_gets_a_new_one() -> None:
    reads = Reads({b"a": _state(5)})
    states = LiveStates(reads, 10, 1 << 30)
    states.fetch(["a", "b", "a"])
    states.fetch(["b"])
    assert states.hot["a"].version == 5
    assert states.hot["b"] == new_state()
    assert reads.asked == [b"a", b"b"]


def test_between_closing_and_storing_a_state_is_read_from_the_group() -> None:
    reads = Reads({b"a": _state(1), b"gone": _state(9)})
    states = LiveStates(reads, 10, 1 << 30)
    states.hold([(b"a", _state(2))], [b"gone"])
    states.fetch(["a", "gone"])
    assert states.hot["a"].version == 2
    assert states.hot["gone"] == new_state()
    reads.data = {b"a": _state(3)}
    states.forget("a")
    states.stored()
    states.fetch(["a"])
    assert states.hot["a"].version == 3


def test_no_more_than_the_bound_stays_and_the_lately_used_stay_longest() -> None:
    reads = Reads()
    states = LiveStates(reads, 100, 1 << 30)
    for number in range(0, 1_000, 10):
        states.fetch(["always", *(str(n) for n in range(number, number + 10))])
        states.hold([], [])
        states.stored()
        assert len(states) <= 120
    assert reads.asked.count(b"always") == 1


def test_what_changed_since_the_last_group_is_never_dropped() -> None:
    states = LiveStates(Reads(), 2, 1 << 30)
    states.fetch([str(n) for n in range(50)])
    states.hot["7"].version = 3
    states.stored()
    states.fetch([str(n) for n in range(50, 100)])
    assert states.hot["7"].version == 3


def test_large_states_count_as_large_as_they_are() -> None:
    big = new_state()
    big.seen_ids = bytearray(b"x" * 10_000)
    states = LiveStates(Reads({b"big": encode_state(big)}), 10, 1 << 30)
    states.fetch(["big", "small"])
    assert states.size_of("big") == len(encode_state(big))
    assert states.size_of("small") == USUAL_BYTES
    states.note_size("big", 100)
    assert states.size_of("big") == USUAL_BYTES


def _heavy(number: int) -> PersonState:
    state = new_state()
    for place in range(200):
        touch = Touch(place, f"touch_{number}_{place}", "click", "paid_search", "google", "cpc", f"campaign {place}")
        state.segments.append(Segment(place, f"event_{place}", place, touch, 0, 1, touches=[touch]))
    return state


def test_heavy_states_are_bounded_by_what_they_take_in_memory() -> None:
    reads = Reads({str(number).encode(): encode_state(_heavy(number)) for number in range(100)})
    bound = 4 * 1024 * 1024
    states = LiveStates(reads, 1_000, bound)
    tracemalloc.start()
    try:
        for number in range(100):
            states.fetch([str(number)])
            states.hold([], [])
            states.stored()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < len(states) < 50
    assert size < bound


def _close_with(states: LiveStates, key: str, size_bytes: int) -> None:
    states.fetch([key])
    states.note_size(key, size_bytes)
    states.hold([], [])
    states.stored()


def test_a_state_that_grows_counts_as_large_as_it_is_now() -> None:
    reads = Reads()
    states = LiveStates(reads, 1_000, 2 * 100_000 * DECODED_FACTOR)
    for key in ("first", "second"):
        _close_with(states, key, 100_000)
    assert len(states) == 1
    states.fetch(["first"])
    assert reads.asked.count(b"first") == 2
    assert states.size_of("first") == USUAL_BYTES


def test_a_state_that_is_forgotten_counts_no_more() -> None:
    states = LiveStates(Reads(), 1_000, 2 * 100_000 * DECODED_FACTOR)
    for number in range(10):
        states.fetch([str(number)])
        states.note_size(str(number), 90_000)
        states.forget(str(number))
    _close_with(states, "kept", 0)
    assert "kept" in states.hot
