"""Blocks of messages that are inserted together, when, and which offsets may be committed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.loader.blocks import Block, Buffer, Limits, Message, Positions, start_position, table_of, token

LIMITS = Limits(max_rows=10, max_bytes=1_000, max_age_seconds=0.2)


def message(offset: int, rows: int = 1, partition: int = 0, row: bytes = b"{}") -> Message:
    return Message("events", partition, offset, 0, b"\n".join([row] * rows))


def buffer(limits: Limits = LIMITS) -> Buffer:
    return Buffer("events", limits)


@pytest.mark.parametrize(("value", "rows"), [(b"", 0), (b"{}", 1), (b"{}\n", 1), (b"{}\n{}", 2), (b"{}\n{}\n", 2)])
def test_rows_are_counted_with_or_without_a_last_newline(value: bytes, rows: int) -> None:
    assert Message("events", 0, 0, 0, value).rows == rows


def test_a_lone_message_is_due_at_once() -> None:
    waiting = buffer()
    assert waiting.due_in(100.0) is None
    waiting.add(message(0), now=100.0)
    assert waiting.due_in(100.0) == 0.0


def test_the_next_block_waits_until_the_last_is_old_enough() -> None:
    waiting = buffer()
    waiting.add(message(0), now=100.0)
    assert waiting.take(now=100.0) is not None
    waiting.add(message(1), now=100.05)
    assert waiting.due_in(100.05) == pytest.approx(0.15)
    assert waiting.due_in(100.2) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("took", "pause"), [(0.0, 0.2), (0.005, 0.2), (0.02, 0.4), (0.049, 0.98), (30.0, 1.0)], ids=lambda each: str(each)
)
def test_blocks_are_further_apart_the_longer_an_insert_takes(took: float, pause: float) -> None:
    waiting = buffer()
    waiting.add(message(0), now=100.0)
    waiting.take(now=100.0)
    waiting.pace.took(took)
    waiting.add(message(1), now=100.0)
    assert waiting.due_in(100.0) == pytest.approx(pause)


@pytest.mark.parametrize("full", [message(0, rows=10), message(0, row=b"x" * 1_000)])
def test_a_full_block_is_due_at_once(full: Message) -> None:
    waiting = buffer()
    waiting.add(message(0), now=100.0)
    waiting.take(now=100.0)
    waiting.add(full, now=100.01)
    assert waiting.due_in(100.01) == 0.0


def test_a_full_block_takes_no_more() -> None:
    waiting = buffer()
    for offset in range(25):
        waiting.add(message(offset), now=0.0)
    sizes = []
    while (block := waiting.take(0.0)) is not None:
        sizes.append(block.rows)
    assert sizes == [10, 10, 5]


def test_it_asks_for_no_more_when_two_blocks_wait() -> None:
    waiting = buffer()
    for offset in range(19):
        waiting.add(message(offset), now=0.0)
    assert waiting.has_room
    waiting.add(message(19), now=0.0)
    assert not waiting.has_room
    waiting.take(0.0)
    assert waiting.has_room


def test_it_forgets_everything_when_told() -> None:
    waiting = buffer()
    for offset in range(25):
        waiting.add(message(offset), now=0.0)
    waiting.clear()
    assert waiting.has_room
    assert waiting.due_in(0.0) is None
    assert waiting.take(0.0) is None


def test_messages_are_joined_by_one_newline_and_keep_their_bytes() -> None:
    values = [b'{"a": 1}\n{"a":2}', b"", b'{"a":3}']
    messages = tuple(Message("events", 0, offset, 0, value) for offset, value in enumerate(values))
    block = Block("events", messages, 3, 0)
    assert block.encode() == b'{"a": 1}\n{"a":2}\n{"a":3}'
    assert [(line.message.offset, line.index) for line in block.lines()] == [(0, 0), (0, 1), (2, 0)]
    assert block.next_offsets == {0: 3}


def test_a_table_is_called_like_its_topic() -> None:
    assert table_of("event-marks") == "event_marks"


def test_a_token_is_that_of_the_data() -> None:
    assert token(b"a") == token(b"a")
    assert token(b"a") != token(b"b")


@pytest.mark.parametrize(
    ("committed", "loaded", "start"),
    [
        (None, None, None),  # nothing known: the group begins at the beginning anyway
        (None, 7, None),
        (7, 7, None),
        (7, 9, None),  # crashed before the commit: read again, harmless
        (9, 7, 7),  # ClickHouse came back from a backup
        (9, None, 0),  # ClickHouse is empty
    ],
)
def test_reading_starts_where_clickhouse_lacks_something(
    committed: int | None, loaded: int | None, start: int | None
) -> None:
    assert start_position(committed, loaded) == start


def test_a_position_of_an_earlier_assignment_is_dropped() -> None:
    positions = Positions()
    old = positions.epoch
    positions.new_epoch()
    positions.stored(Block("events", (message(5),), 1, 2), old)
    assert positions.take() == {}


def test_a_position_put_back_does_not_hide_a_later_one() -> None:
    positions = Positions()
    positions.stored(Block("events", (message(5),), 1, 2), positions.epoch)
    taken = positions.take()
    positions.stored(Block("events", (message(8),), 1, 2), positions.epoch)
    positions.put_back(taken, positions.epoch)
    assert positions.take() == {("events", 0): 9}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(0, 12)),
        st.tuples(st.just("take"), st.just(0), st.just(0)),
        st.tuples(st.just("stored"), st.just(0), st.just(0)),
        st.tuples(st.just("commit"), st.just(0), st.just(0)),
        st.tuples(st.just("rebalance"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_any_interleaving_stores_everything_below_what_it_commits(steps: list[tuple[str, int, int]]) -> None:
    """A model of the loader: the log of 3 partitions is read, taken, stored and committed in any order."""
    waiting, positions = buffer(), Positions()
    read_until, committed = Counter[int](), Counter[int]()
    stored: set[tuple[int, int]] = set()
    in_flight: list[tuple[Block, int]] = []
    for step, partition, rows in steps:
        if step == "read":
            waiting.add(message(read_until[partition], rows, partition), now=0.0)
            read_until[partition] += 1
        elif step == "take" and (block := waiting.take(0.0)) is not None:
            in_flight.append((block, positions.epoch))
        elif step == "stored" and in_flight:
            block, epoch = in_flight.pop(0)
            stored |= {(m.partition, m.offset) for m in block.messages}
            positions.stored(block, epoch)
        elif step == "commit":
            committed.update({p: offset - committed[p] for (_topic, p), offset in positions.take().items()})
        elif step == "rebalance":
            waiting.clear()
            positions.new_epoch()
            read_until = Counter(committed)
        for p, offset in committed.items():
            assert all((p, below) in stored for below in range(offset))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15), st.booleans()), max_size=80))
def test_every_message_is_in_exactly_one_block_and_in_order(arrivals: list[tuple[int, int, bool]]) -> None:
    waiting, offsets, blocks = buffer(), Counter[int](), []
    for partition, rows, take_after in arrivals:
        waiting.add(message(offsets[partition], rows, partition), now=0.0)
        offsets[partition] += 1
        if take_after:
            blocks.append(waiting.take(0.0))
    while (block := waiting.take(0.0)) is not None:
        blocks.append(block)
    for partition, count in offsets.items():
        seen = [m.offset for b in blocks if b for m in b.messages if m.partition == partition]
        assert seen == list(range(count))
    for block in blocks:
        assert block is not None
        assert block.rows == sum(m.rows for m in block.messages)
        assert block.rows - block.messages[-1].rows < LIMITS.max_rows
