"""The rows of a group as packed messages: one per topic, or a few where that would be too large. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipeline.stream.identity.messages import app_of, person_of
from pipeline.stream.partition.group import Group
from schemas.facts import encode_rows
from schemas.ids import partition_for
from schemas.people import PeopleRecord
from schemas.topics import Topic

PACKED_BYTES: Final = 4 * 1024 * 1024


def rows_by_topic(group: Group) -> dict[Topic, Sequence[Any]]:
    effects = group.effects
    return {
        Topic.SESSIONS: effects.sessions,
        Topic.TOUCHES: effects.touches,
        Topic.CONVERSIONS: effects.conversions,
        Topic.ATTRIBUTIONS: effects.attributions,
        Topic.EVENT_MARKS: effects.marks,
        Topic.PERSON_LINKS: effects.links,
        Topic.REJECTED: group.rejected,
    }


def packed(group: Group, partition: int, partitions: int) -> Iterator[tuple[Topic, int, bytes]]:
    """(topic, partition, message). `partition`: the group's; only what goes to other persons may go elsewhere."""
    for topic, rows in rows_by_topic(group).items():
        if rows:
            for value in pack(rows):
                yield topic, partition, value
    by_target: dict[int, list[PeopleRecord]] = defaultdict(list)
    for record in group.outbox:
        by_target[partition_for(app_of(record), person_of(record), partitions)].append(record)
    for target, records in by_target.items():
        for value in pack(records):
            yield Topic.PEOPLE, target, value


def pack(rows: Sequence[Any], limit_bytes: int = PACKED_BYTES) -> Iterator[bytes]:
    """NDJSON in as few pieces as stay under the limit; a single larger row is a piece of its own. Order is kept."""
    data = encode_rows(rows)
    if len(data) <= limit_bytes or len(rows) == 1:
        yield data
        return
    middle = len(rows) // 2
    yield from pack(rows[:middle], limit_bytes)
    yield from pack(rows[middle:], limit_bytes)
