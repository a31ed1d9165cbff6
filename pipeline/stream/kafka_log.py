"""The broker as the committer needs it: one idempotent producer for all outputs, a fenced one for the changelog.

Not the packing producer of `pipeline.runtime.kafka.producer`: a group's rows are packed already, their offsets are
wanted, and a send that fails ends the process, since the next owner writes the group again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from pipeline.runtime.traces.tracer import Headers
from pipeline.stream.partition.changelog import append_group
from schemas.topics import Topic


class OffsetUnknown(RuntimeError):
    """The broker took a record as the repeat of one whose offset it no longer knows. Stop and start from the log."""


class KafkaLog:
    """Log of one partition. `changelog_producer`: see `fence`. `now_ms` gives the records' timestamps."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        changelog_producer: AIOKafkaProducer,
        changelog_topic: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._producer = producer
        self._changelog_producer = changelog_producer
        self._changelog_topic = changelog_topic
        self._now_ms = now_ms

    async def send(self, topic: Topic, partition: int, value: bytes, headers: Headers) -> Awaitable[int]:
        return _offset_of(await self._producer.send(topic.value, value, partition=partition, headers=headers))

    async def append_states(self, partition: int, puts: Sequence[tuple[bytes, bytes]], deletes: Sequence[bytes]) -> int:
        last_offset = await append_group(
            self._changelog_producer, self._changelog_topic, partition, puts, deletes, self._now_ms()
        )
        return _require_known(last_offset, len(puts) + len(deletes) - 1)


async def _offset_of(acknowledged: Awaitable[Any]) -> int:
    metadata = await acknowledged
    return _require_known(int(metadata.offset), 0)


def _require_known(offset: int, least: int) -> int:
    if offset < least:
        raise OffsetUnknown("acknowledged as a duplicate, without an offset")
    return offset
