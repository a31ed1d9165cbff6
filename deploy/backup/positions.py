"""Offsets to load from after a restore, and the records since then that Kafka still has or has lost. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.backup.manifest import Loaded

Range = tuple[int, int]
"""First offset that is there, and the one after the last."""


@dataclass(frozen=True)
class Resumption:
    """`positions`: where each partition is loaded from. `again`: records since the backup that Kafka still has, by
    topic. `lost`: those it has no more. `other`: topics that are not those of the backup, as they hold less than was
    loaded.
    """

    positions: tuple[Loaded, ...]
    again: Mapping[str, int]
    lost: Mapping[str, int]
    other: tuple[str, ...]


def resumption(loaded: Iterable[Loaded], ranges: Mapping[tuple[str, int], Range]) -> Resumption:
    """`ranges`: those of the partitions that exist; a partition that does not is as empty as a new one."""
    found = [(one, *ranges.get((one.topic, one.partition), (0, 0))) for one in loaded]
    other = {one.topic for one, _, end in found if end < one.next_offset}
    same = [(one, begin, end) for one, begin, end in found if one.topic not in other]
    positions = tuple(Loaded(one.topic, one.partition, max(one.next_offset, begin)) for one, begin, _ in same)
    again: dict[str, int] = {}
    lost: dict[str, int] = {}
    for one, begin, end in same:
        again[one.topic] = again.get(one.topic, 0) + end - max(one.next_offset, begin)
        lost[one.topic] = lost.get(one.topic, 0) + max(0, begin - one.next_offset)
    return Resumption(positions, _positive(again), _positive(lost), tuple(sorted(other)))


def _positive(counts: Mapping[str, int]) -> dict[str, int]:
    return {topic: count for topic, count in counts.items() if count > 0}
