"""Freshness of the answers: `complete_through`, from the reports of the stream and the loader. Pure.

The stream reports, per partition of `events`, how far event time has come there and where its results stand in the
derived topics; the loader records how far each topic can be read. A report holds once the loader has passed it, and
the platform is complete through the smallest watermark that holds. While data flows the newest report is often a step
ahead of the loader, so earlier ones are remembered until they hold.

A row that one partition has sent to another (an anonymous journey that became a user's) counts with the sender: its
report holds once the receiver has applied that row, and the results of it can be read.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from schemas.facts import ProgressRow
from schemas.topics import Topic

MAX_WAITING_REPORTS: Final = 64
"""Maximum number of waiting reports per partition. More means that the loader is far behind; then the oldest are the
ones that hold first.
"""
PROGRESS_SQL: Final = """SELECT partition, next_offset, watermark_ms, pending_sessions, derived_offsets, reported_at_ms,
    people_next_offset, people_sent
FROM progress FINAL"""
LOADED_SQL: Final = "SELECT topic, partition, next_offset FROM loaded_offsets FINAL"


class LoadedRow(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    next_offset: int


Loaded = Mapping[tuple[str, int], int]
"""(topic, partition) → the first offset that cannot be read yet."""


def holds(report: ProgressRow, loaded: Loaded) -> bool:
    """Tell whether all that the report's own partition has written can be read."""
    if report.pending_sessions or loaded.get((Topic.EVENTS, report.partition), 0) < report.next_offset:
        return False
    return all(loaded.get((topic, report.partition), 0) >= offset for topic, offset in report.derived_offsets.items())


class Freshness:
    """Tracker that keeps reports until they hold. Give it the rows of the tables as often as an answer needs the
    time.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._waiting: dict[int, list[ProgressRow]] = {}
        self._complete_ms: dict[int, int] = {}
        self._people_read: dict[int, int] = {}
        """Partition → the first offset of `people` whose results cannot be read yet."""
        self._loaded: Loaded = {}

    def observe(self, reports: Sequence[ProgressRow], loaded_rows: Sequence[LoadedRow]) -> None:
        loaded = {(row.topic, row.partition): row.next_offset for row in loaded_rows}
        if any(loaded.get(place, 0) < offset for place, offset in self._loaded.items()):
            # The tables were emptied and are being filled again: what was complete is not any more.
            self._waiting, self._complete_ms, self._people_read = {}, {}, {}
        self._loaded = loaded
        for report in reports:
            self._remember(report)
        for report in (*reports, *(report for waiting in self._waiting.values() for report in waiting)):
            if holds(report, loaded):
                read = self._people_read.get(report.partition, 0)
                self._people_read[report.partition] = max(read, report.people_next_offset)
        for partition in self._waiting:
            self._settle(partition)

    def complete_through_ms(self) -> int | None:
        """Return the smallest watermark that holds. A partition nothing was ever loaded from holds nothing back.

        None while a partition with events has no report that holds, and before there are any events.
        """
        used = [p for p in range(self._partitions) if self._is_used(p)]
        found = [self._complete_ms.get(partition) for partition in used]
        known = [value for value in found if value is not None]
        return min(known) if known and len(known) == len(found) else None

    def _is_used(self, partition: int) -> bool:
        reported = partition in self._complete_ms or partition in self._waiting
        return reported or self._loaded.get((Topic.EVENTS, partition), 0) > 0

    def _remember(self, report: ProgressRow) -> None:
        if report.next_offset <= 0 or report.watermark_ms <= 0:
            return  # no event yet
        waiting = self._waiting.setdefault(report.partition, [])
        if not waiting or waiting[-1].reported_at_ms < report.reported_at_ms:
            waiting.append(report)
            del waiting[1:-MAX_WAITING_REPORTS]

    def _settle(self, partition: int) -> None:
        """Drop reports that hold. The newest report stays, so that it is not taken for a new one when it is read
        again.
        """
        waiting = self._waiting[partition]
        held = [
            index for index, report in enumerate(waiting) if holds(report, self._loaded) and self._has_arrived(report)
        ]
        if held:
            watermark_ms = waiting[held[-1]].watermark_ms
            self._complete_ms[partition] = max(watermark_ms, self._complete_ms.get(partition, 0))
            del waiting[: min(held[-1], len(waiting) - 1)]

    def _has_arrived(self, report: ProgressRow) -> bool:
        """Tell whether the rows the partition sent to others can be read."""
        return all(self._people_read.get(int(partition), 0) >= end for partition, end in report.people_sent.items())
