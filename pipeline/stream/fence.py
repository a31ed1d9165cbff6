"""Fence of a partition's changelog: only the owner can write; whoever owned it before is refused by the broker.

A worker that stood still, or was cut off, may not know that its partitions are another's, and what it had queued would
overwrite newer states. So the changelog of a partition is written by a producer of its own, whose number (Kafka's
producer id and epoch) is drawn under a name that belongs to the partition. Each owner draws anew, which raises the
epoch, and writes a record at once; from then on the broker refuses all earlier epochs (`ProducerFenced`).

This is the first half of Kafka's transactions and costs nothing per group; the second half, the transaction, would cost
two more round trips each, and is not needed: a group is one record batch, and all other outputs of a group that is
never committed are those the next owner writes again.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from aiokafka import AIOKafkaProducer

from pipeline.runtime.clock import now_ms
from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import build_fenced_producer
from pipeline.stream.partition.changelog import append_group

FENCE_KEY: Final = b"\x00fence"
"""Key of the fence. No state key begins with NUL."""


class Fences:
    """The changelog producers of the partitions of one worker."""

    def __init__(self, settings: KafkaSettings, changelog_topic: str) -> None:
        self._settings = settings
        self.topic = changelog_topic
        self._producers: dict[int, AIOKafkaProducer] = {}

    def producer(self, partition: int) -> AIOKafkaProducer:
        return self._producers[partition]

    async def raise_for(self, partitions: Iterable[int]) -> dict[int, int]:
        """Shut everybody else out of these; partition → the offset of the record that did. All before it is there to be
        read, and nothing but our own comes after it."""
        wanted = list(partitions)
        offsets = await asyncio.gather(*map(self._raise_one, wanted))
        return dict(zip(wanted, offsets, strict=True))

    async def keep_only(self, partitions: Collection[int]) -> None:
        """Let go of all others."""
        dropped = [self._producers.pop(partition) for partition in list(self._producers) if partition not in partitions]
        await asyncio.gather(*(producer.stop() for producer in dropped), return_exceptions=True)

    async def _raise_one(self, partition: int) -> int:
        producer = build_fenced_producer(self._settings, f"{self.topic}-{partition}", compression="zstd")
        try:
            await producer.start()
            offset = await append_group(producer, self.topic, partition, [(FENCE_KEY, b"")], [], now_ms())
        except BaseException:  # a taking that is cancelled leaves no producer behind
            await producer.stop()
            raise
        self._producers[partition] = producer
        return offset
