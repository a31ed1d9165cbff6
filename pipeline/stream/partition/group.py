"""One group: what one flush of a partition writes."""

from dataclasses import dataclass

from pipeline.domain.effects import Effects
from pipeline.stream.partition.changelog import Marker
from schemas.facts import RejectedRow
from schemas.people import PeopleRecord


@dataclass
class Group:
    """States, rows and messages, and how far the partition is when they are written."""

    puts: list[tuple[bytes, bytes]]
    deletes: list[bytes]
    wakeups: dict[bytes, bytes]
    """Per person: when the next wakeup is (see `wakeups`), for the store alone."""
    effects: Effects
    rejected: list[RejectedRow]
    marker: Marker
    pending_sessions: int
    events: int
    failures: list[str]
    """Errors the domain raised; each has cost one event or one wakeup."""
    outbox: list[PeopleRecord]
    """Records to be sent to `people`."""
    traceparents: list[bytes]
    """Steps of traces that it follows from."""
