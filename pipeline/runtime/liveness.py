"""Liveness by progress: a process that has something to do and does none of it for long is stalled, however well
its event loop turns.

`Liveness` decides, from observations with their time; `watch` observes where topics end, over a connection of its own:
what a consumer believes about that stands still with the consumer.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NoReturn, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import Pauses, retry

LOOK_SECONDS: Final = 5.0
_KNOWN_FOR_SECONDS: Final = 4 * LOOK_SECONDS
"""Older knowledge of where the topic ends is none: the broker is away, and to start again would not bring it back."""
KeyT = TypeVar("KeyT")
_log = get_logger("liveness")


@dataclass
class _Standing:
    committed: int
    since_seconds: float


class Liveness(Generic[KeyT]):
    """Judges work in several places (partitions, say), each with an end and what is done of it. Pure.

    Times are monotonic seconds.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._standing: dict[KeyT, _Standing] = {}
        self._ends: Mapping[KeyT, int] = {}
        self._ends_known_at: float | None = None

    def observe_ends(self, ends: Mapping[KeyT, int], now_seconds: float) -> None:
        """Key → how far there is work: where the partition ends."""
        self._ends, self._ends_known_at = ends, now_seconds

    def observe_committed(self, committed: Mapping[KeyT, int], now_seconds: float) -> None:
        """Key → how far it is done, of those owned now: the first offset not committed. Another owner's time does not
        count."""
        for place in self._standing.keys() - committed.keys():
            del self._standing[place]
        for place, offset in committed.items():
            standing = self._standing.get(place)
            has_lag = self._ends.get(place, 0) > offset
            if standing is None or standing.committed != offset or not has_lag:
                self._standing[place] = _Standing(offset, now_seconds)

    def stalled(self, now_seconds: float) -> dict[KeyT, float]:
        """Places that have stood still with work waiting for longer than the limit, and for how long."""
        known_at = self._ends_known_at
        if known_at is None or now_seconds - known_at > _KNOWN_FOR_SECONDS:
            return {}
        stood = {place: now_seconds - at.since_seconds for place, at in self._standing.items()}
        return {
            place: seconds
            for place, seconds in stood.items()
            if seconds > self._limit_seconds and self._ends.get(place, 0) > self._standing[place].committed
        }


async def watch(
    settings: KafkaSettings, places: Sequence[TopicPartition], look: Callable[[Mapping[TopicPartition, int]], None]
) -> None:
    """Call `look` for ever with where each partition ends. A broker that is away is waited for."""

    async def observe() -> NoReturn:
        async with started(build_consumer(settings)) as consumer:
            while True:
                look(await consumer.end_offsets(places))
                await asyncio.sleep(LOOK_SECONDS)

    await retry(observe, (KafkaError, OSError), _log, "ends_unknown", pauses=Pauses(LOOK_SECONDS, LOOK_SECONDS))
