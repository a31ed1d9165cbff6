"""Bound the memory of the embedded broker: it holds every record in memory, so records read by all are dropped when it
grows.

Only records below the committed offsets of *every* group that reads a partition go, and only where the loader and, for
`events`, the stream are among those groups: nothing unread is ever dropped. Apache Kafka needs none of this.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.clients import open_admin
from schemas.topics import (
    LOADER_GROUP,
    PEOPLE_GROUP,
    STREAM_GROUP,
    WEBHOOK_DELIVERIES_GROUP,
    WEBHOOK_RETRIES_GROUP,
    Topic,
)

START_BYTES: Final = 256 * 1024 * 1024
"""Memory below which the broker is left alone, so that a topic can be read again from its start."""
CHECK_SECONDS: Final = 10.0
KEPT_RECORDS: Final = 100
"""Records kept per partition behind the slowest reader: `attrikit progress` reads the last ones."""

Offsets = Mapping[TopicPartition, int]


def resident_bytes(pid: int) -> int:
    """Return the memory of a process; 0 if it cannot be read."""
    try:
        if Path("/proc/self/statm").exists():
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        said = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)  # noqa: S603
        return int(said.stdout) * 1024
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError):
        return 0


def plan_trim(committed: Mapping[str, Offsets], partitions: int, kept: int = KEPT_RECORDS) -> dict[TopicPartition, int]:
    """Plan the trim: partition → the first offset to keep. `committed`: group → what it has committed."""
    plan = {}
    for topic in Topic:
        for partition in range(topic.spec.partitions or partitions):
            place = TopicPartition(topic.value, partition)
            read = {group: offsets[place] for group, offsets in committed.items() if place in offsets}
            if _required_groups(topic) <= read.keys() and min(read.values()) > kept:
                plan[place] = min(read.values()) - kept
    return plan


def _required_groups(topic: Topic) -> set[str]:
    if topic is Topic.PEOPLE:
        return {PEOPLE_GROUP}
    if topic is Topic.WEBHOOK_DELIVERIES:
        return {WEBHOOK_DELIVERIES_GROUP}
    if topic is Topic.WEBHOOK_RETRIES:
        return {WEBHOOK_RETRIES_GROUP}
    return {LOADER_GROUP, STREAM_GROUP} if topic is Topic.EVENTS else {LOADER_GROUP}


async def trim(settings: KafkaSettings) -> dict[TopicPartition, int]:
    """Drop what every group has read; return the plan it followed."""
    async with open_admin(settings) as admin:
        groups = [group for group, _protocol in await admin.list_consumer_groups()]
        committed = {group: await _committed(admin, group) for group in groups}
        plan = plan_trim(committed, settings.partitions)
        if plan:
            await admin.delete_records({place: RecordsToDelete(offset) for place, offset in plan.items()})
        return plan


async def _committed(admin: AIOKafkaAdminClient, group: str) -> Offsets:
    found = await admin.list_consumer_group_offsets(group)
    return {place: entry.offset for place, entry in found.items() if entry.offset >= 0}
