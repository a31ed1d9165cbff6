"""Completeness of the gateways' counts in the tables, by the wall clock: requests have no event time to go by.

Gateways write every second. So once the loader has passed where `gateway-counts` ended at some moment, everything
received a few seconds before that moment is in the table, unless a gateway could not write for longer than that.
"""

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from pipeline.runtime.clickhouse import ClickHouse
from schemas.topics import Topic

GRACE_MS: Final = 5_000
_LOADED_SQL: Final = "SELECT `partition`, next_offset FROM loaded_offsets FINAL WHERE topic = {topic:String}"


class RequestsComplete:
    def __init__(self, consumer: AIOKafkaConsumer, clickhouse: ClickHouse, partitions: int) -> None:
        self._consumer = consumer
        self._clickhouse = clickhouse
        self._places = [TopicPartition(Topic.GATEWAY_COUNTS.value, partition) for partition in range(partitions)]
        self._awaited: tuple[int, dict[int, int]] | None = None
        self._through_ms: int | None = None

    async def through_ms(self, now_ms: int) -> int | None:
        """Return the time up to which counts are complete; None until it was found once. Raises the errors of both."""
        if self._awaited is None:
            ends = await self._consumer.end_offsets(self._places)
            self._awaited = now_ms, {place.partition: end for place, end in ends.items()}
        at_ms, ends_then = self._awaited
        loaded: dict[int, int] = dict(await self._clickhouse.query(_LOADED_SQL, {"topic": Topic.GATEWAY_COUNTS.value}))
        if all(loaded.get(partition, 0) >= end for partition, end in ends_then.items()):
            self._through_ms = at_ms - GRACE_MS
            self._awaited = None
        return self._through_ms
