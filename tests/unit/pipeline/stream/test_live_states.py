from collections.abc import Sequence

from pipeline.domain.state import encode_state, new_state
from pipeline.stream.live_states import USUAL_BYTES, LiveStates


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
    states = LiveStates(reads, 10)
    states.fetch(["a", "b", "a"])
    states.fetch(["b"])
    assert states.hot["a"].version == 5
    assert states.hot["b"] == new_state()
    assert reads.asked == [b"a", b"b"]


def test_between_closing_and_storing_a_state_is_read_from_the_group() -> None:
    reads = Reads({b"a": _state(1), b"gone": _state(9)})
    states = LiveStates(reads, 10)
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
    states = LiveStates(reads, 100)
    for number in range(0, 1_000, 10):
        states.fetch(["always", *(str(n) for n in range(number, number + 10))])
        states.hold([], [])
        states.stored()
        assert len(states) <= 120
    assert reads.asked.count(b"always") == 1


def test_what_changed_since_the_last_group_is_never_dropped() -> None:
    states = LiveStates(Reads(), 2)
    states.fetch([str(n) for n in range(50)])
    states.hot["7"].version = 3
    states.stored()
    states.fetch([str(n) for n in range(50, 100)])
    assert states.hot["7"].version == 3


def test_large_states_count_as_large_as_they_are() -> None:
    big = new_state()
    big.seen_ids = bytearray(b"x" * 10_000)
    states = LiveStates(Reads({b"big": encode_state(big)}), 10)
    states.fetch(["big", "small"])
    assert states.size_of("big") == len(encode_state(big))
    assert states.size_of("small") == USUAL_BYTES
    states.note_size("big", 100)
    assert states.size_of("big") == USUAL_BYTES
