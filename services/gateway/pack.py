"""Accepted events → NDJSON, in pieces that each belong to one partition. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from schemas.events import AcceptedEvent, person_key
from schemas.facts import RejectedRow
from schemas.ids import partition_for
from schemas.people import Link, encode_people

PIECE_BYTES: Final = 1024 * 1024
"""A piece holds about this much of what callers sent. Stamps and repeated page fields at most triple it: a record
stays far below the broker's limit."""

_ROWS_PER_PIECE: Final = 128
"""A reject's payload of 4 KB can become 24 KB of escapes."""

_encode_lines: Final = msgspec.json.Encoder().encode_lines


class Piece(NamedTuple):
    """Lines of one partition, a newline after each."""

    partition: int
    lines: bytes


def partition_of(event: AcceptedEvent, partitions: int) -> int:
    key = person_key(event.user_id, event.anonymous_id, event.event_id)
    return partition_for(event.app_id, key, partitions)


def pack_events(events: Iterable[tuple[AcceptedEvent, int]], partitions: int) -> list[Piece]:
    """`events`: each with the size it came in. Within a partition their order is kept."""
    pieces: list[Piece] = []
    lines: list[list[AcceptedEvent]] = [[] for _ in range(partitions)]
    sizes = [0] * partitions
    for event, size_bytes in events:
        partition = partition_of(event, partitions)
        lines[partition].append(event)
        sizes[partition] += size_bytes
        if sizes[partition] >= PIECE_BYTES:
            pieces.append(Piece(partition, _encode_lines(lines[partition])))
            lines[partition], sizes[partition] = [], 0
    pieces.extend(Piece(partition, _encode_lines(kept)) for partition, kept in enumerate(lines) if kept)
    return pieces


def pack_event(event: AcceptedEvent, partitions: int) -> Piece:
    return Piece(partition_of(event, partitions), _encode_lines((event,)))


def pack_links(links: Sequence[Link], partitions: int) -> list[Piece]:
    """A link goes where the anonymous id's events go."""
    by_partition: dict[int, list[Link]] = {}
    for link in links:
        key = person_key("", link.anonymous_id, "")
        by_partition.setdefault(partition_for(link.app_id, key, partitions), []).append(link)
    return [Piece(partition, encode_people(kept)) for partition, kept in by_partition.items()]


def pack_rejects(rows: list[RejectedRow], partitions: int) -> list[Piece]:
    """All of one request's rows go to one partition; which one says nothing."""
    if not rows:
        return []
    partition = partition_for(rows[0].app_id, rows[0].reject_id, partitions)
    chunks = (rows[start : start + _ROWS_PER_PIECE] for start in range(0, len(rows), _ROWS_PER_PIECE))
    return [Piece(partition, _encode_lines(chunk)) for chunk in chunks]
