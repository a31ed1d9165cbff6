import json
from zlib import crc32

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.topics import MAX_MESSAGE_BYTES
from services.gateway.packing import PIECE_BYTES, pack_event, pack_events, pack_rejects, partition_of, partitions_of


def event(number: int = 0, user_id: str = "", **fields: str) -> AcceptedEvent:
    return AcceptedEvent("shop", f"e{number}", "page_view", number, number, user_id=user_id, **fields)


def test_the_partition_is_that_of_the_person() -> None:
    assert partition_of(event(user_id="u1", anonymous_id="a1"), 4) == crc32(b"shop\x1fu:u1") % 4
    assert partition_of(event(anonymous_id="a1"), 4) == crc32(b"shop\x1fa:a1") % 4
    assert partition_of(event(7), 4) == crc32(b"shop\x1fe:e7") % 4


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=9), st.integers(1, 9))
def test_partitions_are_the_same_taken_together(persons: list[tuple[str, str]], partitions: int) -> None:
    events = [event(n, user_id, anonymous_id=anonymous_id) for n, (user_id, anonymous_id) in enumerate(persons)]
    assert partitions_of(events, partitions) == [partition_of(one, partitions) for one in events]


@given(st.lists(st.text(max_size=5), max_size=60), st.integers(1, 9))
def test_every_event_is_in_one_piece_of_its_partition_in_order(users: list[str], partitions: int) -> None:
    events = [event(number, user) for number, user in enumerate(users)]
    pieces = pack_events(events, [100] * len(events), partitions)
    assert len(pieces) <= partitions
    unpacked = [
        (piece.partition, found)
        for piece in pieces
        for found in msgspec.json.Decoder(AcceptedEvent).decode_lines(piece.lines)
    ]
    assert sorted(found.timestamp_ms for _, found in unpacked) == list(range(len(events)))
    for partition in range(partitions):
        times = [found.timestamp_ms for at, found in unpacked if at == partition]
        assert times == sorted(times)
        assert all(partition_of(events[time], partitions) == partition for time in times)
    assert all(pack_event(one, partitions).partition == partition_of(one, partitions) for one in events)


def test_large_batches_are_cut_into_several_pieces_below_the_brokers_limit() -> None:
    big = "x" * 30_000
    properties = msgspec.Raw(json.dumps({"page_url": big}).encode())
    events = [AcceptedEvent("shop", f"e{n}", "a", n, n, "u", properties=properties, page_url=big) for n in range(160)]
    pieces = pack_events(events, [30_050] * 160, 4)
    assert len(pieces) == 5
    assert sum(piece.lines.count(b"\n") for piece in pieces) == 160
    assert max(len(piece.lines) for piece in pieces) < 3 * PIECE_BYTES < MAX_MESSAGE_BYTES


def test_refusals_of_one_request_share_a_partition_and_fit() -> None:
    rows = [
        RejectedRow("shop", f"r{n}", 0, "gateway", "C", "f", "why", "\x01" * (32 * 1024 if n % 7 == 0 else 9))
        for n in range(1000)
    ]
    pieces = pack_rejects(rows, 4)
    assert len({piece.partition for piece in pieces}) == 1
    assert sum(piece.lines.count(b"\n") for piece in pieces) == 1000
    assert max(len(piece.lines) for piece in pieces) < MAX_MESSAGE_BYTES
    assert pack_rejects([], 4) == []
