"""Group readers of the dispatcher, and the reading of the deliveries in a record."""

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.runtime.kafka.group_reader import Assignment, GroupReader
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import WebhooksSettings
from schemas.topics import Topic
from schemas.webhooks import Delivery, decode_deliveries
from services.webhooks.metrics import LAG, UNREADABLE

log = get_logger("webhooks")


def open_group(
    settings: WebhooksSettings,
    topics: Iterable[Topic],
    group: str,
    *,
    on_end: Callable[[], None] = lambda: None,
    on_begin: Callable[[Assignment], None] = lambda _: None,
) -> GroupReader:
    """Build the reader of a group; a dispatcher with a name is a static member of it."""
    name = settings.webhooks_instance
    instance_id = f"{group}-{name}" if name else None
    return GroupReader(settings, topics, group, log, instance_id=instance_id, on_end=on_end, on_begin=on_begin, lag=LAG)


def read_deliveries(record: Any) -> list[Delivery]:
    """Read the deliveries of an aiokafka `ConsumerRecord`; none if it cannot be read, which is logged and counted."""
    try:
        return decode_deliveries(record.value or b"")
    except ValueError as error:
        UNREADABLE.labels(record.topic).inc()
        log.error("unreadable_record", topic=record.topic, offset=record.offset, reason=str(error))
        return []
