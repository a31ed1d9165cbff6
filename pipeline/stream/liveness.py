"""Alive means: makes progress. A worker that has messages to process and commits nothing for long is not, however well
its event loop turns.

`Liveness` decides, from observations with their time; `watch` observes where `events` ends, over a connection of
its own: what the consumer believes about that stands still with the consumer.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic

LOOK_SECONDS: Final = 5.0
_KNOWN_FOR_SECONDS: Final = 4 * LOOK_SECONDS
"""Older knowledge of where the topic ends is none: the broker is away, and to start again would not bring it back."""


@dataclass
class _Standing:
    committed: int
    since_seconds: float


class Liveness:
    """Pure. Times are monotonic seconds."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._standing: dict[int, _Standing] = {}
        self._ends: Mapping[int, int] = {}
        self._ends_known_at: float | None = None

    def observe_ends(self, ends: Mapping[int, int], now_seconds: float) -> None:
        """Partition of `events` → where it ends."""
        self._ends, self._ends_known_at = ends, now_seconds

    def observe_committed(self, committed: Mapping[int, int], now_seconds: float) -> None:
        """Partition → the first offset not committed, of those owned now. Another owner's time does not count."""
        for partition in self._standing.keys() - committed.keys():
            del self._standing[partition]
        for partition, offset in committed.items():
            standing = self._standing.get(partition)
            has_lag = self._ends.get(partition, 0) > offset
            if standing is None or standing.committed != offset or not has_lag:
                self._standing[partition] = _Standing(offset, now_seconds)

    def stalled(self, now_seconds: float) -> dict[int, float]:
        """Partitions that have stood still with messages waiting for longer than the limit, and for how long."""
        known_at = self._ends_known_at
        if known_at is None or now_seconds - known_at > _KNOWN_FOR_SECONDS:
            return {}
        stood = {partition: now_seconds - at.since_seconds for partition, at in self._standing.items()}
        return {
            partition: seconds
            for partition, seconds in stood.items()
            if seconds > self._limit_seconds and self._ends.get(partition, 0) > self._standing[partition].committed
        }


async def watch(
    liveness: Liveness,
    bootstrap: str,
    partitions: int,
    committed: Callable[[], Mapping[int, int]],
    clock: Callable[[], float],
) -> NoReturn:
    """Feed `liveness` for ever. A broker that is away is waited for."""
    places = [TopicPartition(Topic.EVENTS.value, partition) for partition in range(partitions)]
    while True:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        try:
            await consumer.start()
            while True:
                ends = await consumer.end_offsets(places)
                liveness.observe_ends({place.partition: end for place, end in ends.items()}, clock())
                liveness.observe_committed(committed(), clock())
                await asyncio.sleep(LOOK_SECONDS)
        except (KafkaError, OSError):
            await asyncio.sleep(LOOK_SECONDS)
        finally:
            await consumer.stop()
