"""Parked working sets: those of partitions given up in a rebalance. Most come straight back, and need no scan then."""

from collections.abc import Mapping

from pipeline.stream.partition.open_stores import OpenStores
from pipeline.stream.partition.working_set import WorkingSet


class ParkedSets:
    """Each with the changelog offset of its store. It is of use while nobody has written to the partition since."""

    def __init__(self, stores: OpenStores) -> None:
        self._stores = stores
        self._parked: dict[int, tuple[WorkingSet, int | None]] = {}

    def park(self, working_sets: Mapping[int, WorkingSet]) -> None:
        """One inside a message is left aside: its rest would come to another group."""
        for partition, working_set in working_sets.items():
            if not working_set.is_inside_message:
                self._parked[partition] = (working_set, self._stores.of(partition).offset)

    def keep_valid(self, partitions: set[int]) -> set[int]:
        """Drop all but those of `partitions` that are as their stores are; returns these. The stores are up to date."""
        valid = {partition for partition in partitions if self._is_valid(partition)}
        # What is not taken back now may be another's by the next time.
        self._parked = {partition: self._parked[partition] for partition in valid}
        return valid

    def take_valid(self, partitions: set[int]) -> dict[int, WorkingSet]:
        """Take those of `partitions` out that are as their stores are."""
        valid = {partition for partition in partitions if self._is_valid(partition)}
        return {partition: self._parked.pop(partition)[0] for partition in valid}

    def _is_valid(self, partition: int) -> bool:
        return partition in self._parked and self._parked[partition][1] == self._stores.of(partition).offset
