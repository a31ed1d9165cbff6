"""Reads `people` for the partitions a worker owns, from where their changelog says.

Not through Faust: the position is part of the state and is sought after recovery, some messages must be there before
any event is, and the rest may wait for its turn without holding up anything. Who reads which partition follows from who
owns its state, so there is no group to join; committed offsets are for people and tools to look at.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import read_range
from pipeline.runtime.lifecycle import Background
from pipeline.runtime.log import get_logger
from pipeline.runtime.retry import Pauses, retry
from pipeline.runtime.traces.tracer import traceparent_of
from pipeline.stream.decode import Place
from pipeline.stream.identity.messages import DecodedPeople, decode_message
from schemas.topics import PEOPLE_GROUP, Topic

POLL_MS: Final = 200
ALL_POLL_MS: Final = 2_000
"""Longest wait when all partitions are read: none can get room meanwhile that has none now."""
READ_SECONDS: Final = 60.0
COMMIT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.05
_ERROR_PAUSES: Final = Pauses(1.0, 1.0)
_log = get_logger("stream.people")

Deliver = Callable[[int, DecodedPeople], Awaitable[None]]


class PeopleReader:
    def __init__(
        self,
        settings: KafkaSettings,
        deliver: Deliver,
        has_room: Callable[[int], bool],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._has_room = has_room
        self._consumer: AIOKafkaConsumer | None = None
        self._reading = Background(on_failure)

    async def read(self, ranges: Mapping[int, tuple[int, int]]) -> dict[int, list[DecodedPeople]]:
        """Read the records the topic still holds of partition → [begin, end). Raises `TimeoutError` if it does not
        come.
        """
        found: dict[int, list[DecodedPeople]] = {partition: [] for partition in ranges}
        wanted = {_place(partition): span for partition, span in ranges.items() if span[0] < span[1]}
        if not wanted:
            return found
        async with started(build_consumer(self._settings)) as consumer, asyncio.timeout(READ_SECONDS):
            async for place, records in read_range(consumer, wanted, poll_ms=POLL_MS):
                found[place.partition] += map(_decoded, records)
        return found

    async def follow(self, positions: Mapping[int, int]) -> None:
        """Deliver what comes from these positions on, until `leave`."""
        await self.leave()
        if not positions:
            return
        self._consumer = consumer = build_consumer(self._settings, group=PEOPLE_GROUP)
        await consumer.start()
        consumer.assign([_place(partition) for partition in positions])
        for partition, offset in positions.items():
            consumer.seek(_place(partition), offset)
        self._reading.start(self._run(consumer))

    async def leave(self) -> None:
        await self._reading.stop()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    def end_offset(self, partition: int) -> int:
        """Return the end of the partition as of the last fetch; 0 before the first."""
        if self._consumer is None:
            return 0
        try:
            return self._consumer.highwater(_place(partition)) or 0
        except (AssertionError, IllegalStateError):
            return 0

    async def commit(self, positions: Mapping[int, int]) -> None:
        """Say how far these are applied; a failure is of no consequence."""
        if self._consumer is not None and positions:
            with suppress(KafkaError, AssertionError):
                await self._consumer.commit({_place(partition): offset for partition, offset in positions.items()})

    async def _run(self, consumer: AIOKafkaConsumer) -> None:
        places = list(consumer.assignment())
        while True:
            wanted = [place for place in places if self._has_room(place.partition)]
            if not wanted:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            poll = partial(consumer.getmany, *wanted, timeout_ms=ALL_POLL_MS if wanted == places else POLL_MS)
            found = await retry(poll, (KafkaError,), _log, "people_not_read", pauses=_ERROR_PAUSES)
            for place, records in found.items():
                for record in records:
                    await self._deliver(place.partition, _decoded(record))


def _place(partition: int) -> TopicPartition:
    return TopicPartition(Topic.PEOPLE.value, partition)


def _decoded(record: "ConsumerRecord[bytes, bytes]") -> DecodedPeople:
    traceparent = traceparent_of(record.headers) if record.headers else b""
    place = Place(record.topic, record.partition, record.offset, record.timestamp, traceparent)
    return decode_message(record.value, place)
