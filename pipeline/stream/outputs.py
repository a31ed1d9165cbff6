"""The rows of a group as packed messages: one per topic, or a few where that would be too large. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipeline.stream.working_set import Group
from schemas.facts import encode_rows
from schemas.topics import Topic

DERIVED_TOPICS: Final = (
    Topic.SESSIONS,
    Topic.TOUCHES,
    Topic.CONVERSIONS,
    Topic.ATTRIBUTIONS,
    Topic.EVENT_MARKS,
)
"""What the stream alone writes; `progress` says where it stands in each."""
PACKED_BYTES: Final = 4 * 1024 * 1024


def rows_by_topic(group: Group) -> dict[Topic, Sequence[Any]]:
    effects = group.effects
    return {
        Topic.SESSIONS: effects.sessions,
        Topic.TOUCHES: effects.touches,
        Topic.CONVERSIONS: effects.conversions,
        Topic.ATTRIBUTIONS: effects.attributions,
        Topic.EVENT_MARKS: effects.marks,
        Topic.REJECTED: group.rejected,
    }


def packed(group: Group) -> Iterator[tuple[Topic, bytes]]:
    for topic, rows in rows_by_topic(group).items():
        if rows:
            for value in pack(rows):
                yield topic, value


def pack(rows: Sequence[Any], limit_bytes: int = PACKED_BYTES) -> Iterator[bytes]:
    """NDJSON in as few pieces as stay under the limit; a single larger row is a piece of its own. Order is kept."""
    data = encode_rows(rows)
    if len(data) <= limit_bytes or len(rows) == 1:
        yield data
        return
    middle = len(rows) // 2
    yield from pack(rows[:middle], limit_bytes)
    yield from pack(rows[middle:], limit_bytes)
