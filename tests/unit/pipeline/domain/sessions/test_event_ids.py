"""Ids seen: two byte strings side by side."""

from pipeline.domain.sessions.event_ids import KEEP_S, drop_old, fingerprint, first_seen, pack_times, remember
from pipeline.domain.state import PersonState, new_state


def time_of(state: PersonState, mark: bytes, received_s: int) -> int | None:
    found = first_seen(state, mark, received_s)
    return None if found is None else found.at_ms


def test_fingerprints_are_pinned() -> None:
    """A change would make every id of the last week count once more."""
    assert fingerprint("evt_1").hex() == "d659aecd31a53f49"


def test_only_whole_ids_match() -> None:
    state = new_state()
    remember(state, b"aaaabbbb", pack_times(1, 0))
    remember(state, b"ccccdddd", pack_times(2, 0))
    assert time_of(state, b"bbbbcccc", 0) is None
    remember(state, b"bbbbcccc", pack_times(3, 0))
    assert time_of(state, b"bbbbcccc", 0) == 3


def test_dropping_old_ids_changes_no_answer() -> None:
    state = new_state()
    for second in range(10):
        remember(state, b"%08d" % second, pack_times(second, second * 1_000_000))
    now_s = KEEP_S + 4
    before = [time_of(state, b"%08d" % second, now_s) for second in range(10)]
    remember(state, b"thenewid", pack_times(now_s, now_s * 1_000_000))
    drop_old(state, now_s)
    assert [time_of(state, b"%08d" % second, now_s) for second in range(10)] == before
    assert before == [None] * 5 + [5, 6, 7, 8, 9]
    assert len(state.seen_ids) == 6 * 8


def test_an_event_of_another_partition_drops_no_id_whose_repeat_still_waits() -> None:
    """What an anonymous id sends is forwarded to its user at once, whatever of the user's own has not been read yet."""
    state = new_state()
    remember(state, b"its  own", pack_times(1, 1_000_000))
    drop_old(state, received_s=10 * KEEP_S)
    assert time_of(state, b"its  own", received_s=1) == 1
