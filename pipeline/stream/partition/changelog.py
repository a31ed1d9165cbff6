"""The changelog: the records of each changed person (one, or of a large state some, see `pages`), and per group a
marker that says how far the source was applied.

A group is ONE Kafka record batch, and a record batch is stored whole or not at all. So whatever part of the topic
survives a crash, the states in it and the position they stand for agree.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer

from schemas.topics import MAX_MESSAGE_BYTES, STREAM_GROUP

TABLE_NAME: Final = "persons"
CHANGELOG_TOPIC: Final = f"{STREAM_GROUP}-{TABLE_NAME}-changelog"
MARKER_KEY: Final = b"\x00applied"
"""Key of the marker. No state key begins with NUL: they begin with an app id."""
MAX_BATCH_BYTES: Final = MAX_MESSAGE_BYTES - 64 * 1024
RECORD_OVERHEAD_BYTES: Final = 64
"""Cost of a record beside its key and value, generously."""

TOPIC_CONFIG: Final[dict[str, str]] = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(MAX_MESSAGE_BYTES),
    # Only closed segments are compacted; small ones close soon, so that recovery reads little more than what is live,
    # and the embedded broker, which has them in memory, holds little more (with 64 MB: 728 MB after 19 minutes).
    "segment.bytes": str(16 * 1024 * 1024),
}


class GroupTooLarge(RuntimeError):
    """Error: one group's states do not fit into one record batch. Stop: it can be neither split nor left out."""


class Marker(msgspec.Struct, array_like=True, gc=False):
    """Progress marker: how far the sources of one partition are contained in the states: of `events`, everything before
    (`offset`, `index`); of `people`, everything before (`people_offset`, `people_index`). Fields are only ever
    appended.
    """

    offset: int
    """Offset of the source message to apply next."""
    index: int
    """Lines of that message already applied."""
    watermark_ms: int
    people_offset: int = 0
    people_index: int = 0
    people_until: int = 0
    """Decided: what `people` holds before this offset is applied before anything else is (see `stream.identity`)."""
    derived_from: int = 0
    """Position in `people` where this life of the stream begins (see `stream.identity`)."""
    forwarded: dict[int, tuple[int, int]] = {}
    """Per partition of `events`: the place of the last event that was forwarded from there and applied."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Marker).decode


def encode_marker(marker: Marker) -> bytes:
    return _encode(marker)


def decode_marker(data: bytes | None) -> Marker | None:
    return None if data is None else _decode(data)


def fill_batch(builder: Any, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes], timestamp_ms: int) -> int:
    """Append all records to aiokafka's batch builder and close it; returns how many. Raises `GroupTooLarge`."""
    count = 0
    for key, value in puts:
        if builder.append(timestamp=timestamp_ms, key=key, value=value) is None:
            raise GroupTooLarge(f"the states of one group exceed {MAX_BATCH_BYTES} bytes at record {count}")
        count += 1
    for key in deletes:
        if builder.append(timestamp=timestamp_ms, key=key, value=None) is None:
            raise GroupTooLarge(f"the states of one group exceed {MAX_BATCH_BYTES} bytes at record {count}")
        count += 1
    builder.close()
    return count


async def append_group(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    puts: Iterable[tuple[bytes, bytes]],
    deletes: Iterable[bytes],
    timestamp_ms: int,
) -> int:
    """Append the group and wait until the broker has it; returns the offset of its last record."""
    builder = producer.create_batch()
    count = fill_batch(builder, puts, deletes, timestamp_ms)
    acknowledged = await producer.send_batch(builder, topic, partition=partition)
    metadata = await acknowledged
    return int(metadata.offset) + count - 1
