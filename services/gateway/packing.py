"""Pack accepted events as NDJSON, in pieces that each belong to one partition. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.ids import partition_for, person_hash
from schemas.people import Link, encode_people
from schemas.persons import ALONE, ANONYMOUS, USER, person_key

PIECE_BYTES: Final = 1024 * 1024
"""Bytes of callers' data in a piece, about. Stamps and repeated page fields at most triple it: a record stays far below
the broker's limit.
"""

_ROWS_PER_PIECE: Final = 128
"""Maximum number of rows in a piece."""
_REJECT_CHARACTERS: Final = 512 * 1024
"""Characters of refused payloads in a piece, about. Escapes can make six bytes of a character."""

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class Piece(NamedTuple):
    """Lines of one partition, a newline after each."""

    partition: int
    lines: bytes


def partition_of(event: AcceptedEvent, partitions: int) -> int:
    key = person_key(event.user_id, event.anonymous_id, event.event_id)
    return partition_for(event.app_id, key, partitions)


def partitions_of(events: Sequence[AcceptedEvent], partitions: int) -> list[int]:
    """Return `partition_of` each of one app's events. What all keys begin with is hashed once, which takes half the
    time.
    """
    if not events:
        return []
    user, anonymous, alone = (person_hash(events[0].app_id, kind) for kind in (USER, ANONYMOUS, ALONE))
    return [
        (
            crc32(event.user_id.encode(), user)
            if event.user_id
            else crc32(event.anonymous_id.encode(), anonymous)
            if event.anonymous_id
            else crc32(event.event_id.encode(), alone)
        )
        % partitions
        for event in events
    ]


def pack_events(events: Sequence[AcceptedEvent], sizes_bytes: Sequence[int], partitions: int) -> list[Piece]:
    """Pack events of one app, each with the size it came in. Within a partition their order is kept."""
    lanes: list[list[AcceptedEvent]] = [[] for _ in range(partitions)]
    places = partitions_of(events, partitions)
    if sum(sizes_bytes) >= PIECE_BYTES:
        return _pack_many(events, sizes_bytes, places, lanes)
    for event, partition in zip(events, places, strict=True):
        lanes[partition].append(event)
    return _pieces(lanes)


def _pack_many(
    events: Sequence[AcceptedEvent], sizes_bytes: Sequence[int], places: Sequence[int], lanes: list[list[AcceptedEvent]]
) -> list[Piece]:
    pieces: list[Piece] = []
    filled = [0] * len(lanes)
    for event, size_bytes, partition in zip(events, sizes_bytes, places, strict=True):
        lanes[partition].append(event)
        filled[partition] += size_bytes
        if filled[partition] >= PIECE_BYTES:
            pieces.append(Piece(partition, _encode_lines(lanes[partition])))
            lanes[partition], filled[partition] = [], 0
    return pieces + _pieces(lanes)


def _pieces(lanes: Sequence[Sequence[AcceptedEvent]]) -> list[Piece]:
    return [Piece(partition, _encode_lines(lane)) for partition, lane in enumerate(lanes) if lane]


def pack_event(event: AcceptedEvent, partitions: int) -> Piece:
    return Piece(partition_of(event, partitions), _encode_lines((event,)))


def pack_links(links: Sequence[Link], partitions: int) -> list[Piece]:
    """Pack links: each goes to the partition of the anonymous id's events."""
    by_partition: dict[int, list[Link]] = {}
    for link in links:
        key = person_key("", link.anonymous_id, "")
        by_partition.setdefault(partition_for(link.app_id, key, partitions), []).append(link)
    return [Piece(partition, encode_people(kept)) for partition, kept in by_partition.items()]


def pack_rejects(rows: list[RejectedRow], partitions: int) -> list[Piece]:
    """Pack rejects: all of one request's rows go to one partition; which one says nothing."""
    if not rows:
        return []
    partition = partition_for(rows[0].app_id, rows[0].reject_id, partitions)
    return [Piece(partition, _encode_lines(chunk)) for chunk in _reject_chunks(rows)]


def _reject_chunks(rows: list[RejectedRow]) -> Iterator[list[RejectedRow]]:
    chunk: list[RejectedRow] = []
    characters = 0
    for row in rows:
        chunk.append(row)
        characters += len(row.payload)
        if len(chunk) == _ROWS_PER_PIECE or characters >= _REJECT_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
