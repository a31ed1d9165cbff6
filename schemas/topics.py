"""Every topic in one place: who writes it, who reads it, what a message is, how it is kept."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
_DAY_MS: Final = 24 * 3600 * 1000


class Topic(StrEnum):
    """Names on the broker. A member's `spec` says the rest."""

    EVENTS = "events"
    SESSIONS = "sessions"
    TOUCHES = "touches"
    CONVERSIONS = "conversions"
    ATTRIBUTIONS = "attributions"
    EVENT_MARKS = "event-marks"
    REJECTED = "rejected"
    PROGRESS = "progress"

    @property
    def spec(self) -> "TopicSpec":
        return _SPECS[self]


@dataclass(frozen=True)
class TopicSpec:
    """`key` and `message` describe the record for people; `config` is what the broker is told.

    All topics have as many partitions as `events`: what the stream derives from partition p goes to partition p,
    so that everything about one person stays in order.
    """

    key: str
    message: str
    producer: str
    consumers: tuple[str, ...]
    retention_days: int = 7
    config: dict[str, str] = field(default_factory=dict)

    def broker_config(self) -> dict[str, str]:
        base = {
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "retention.ms": str(self.retention_days * _DAY_MS),
            "cleanup.policy": "delete",
        }
        return base | self.config


_DERIVED = "packed NDJSON, rows of schemas.facts"
_SPECS: Final[dict[Topic, TopicSpec]] = {
    Topic.EVENTS: TopicSpec(
        key="none; the partition is that of (app, person)",
        message="packed NDJSON of schemas.events.AcceptedEvent",
        producer="services.gateway",
        consumers=("pipeline.stream", "services.loader"),
        retention_days=30,
    ),
    Topic.SESSIONS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader",)),
    Topic.TOUCHES: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader",)),
    Topic.CONVERSIONS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader", "services.webhooks")),
    Topic.ATTRIBUTIONS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader", "services.webhooks")),
    Topic.EVENT_MARKS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader",)),
    Topic.REJECTED: TopicSpec("none", _DERIVED, "services.gateway, pipeline.stream", ("services.loader",)),
    Topic.PROGRESS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader",), retention_days=1),
}

STREAM_GROUP: Final = "attrikit-stream"
LOADER_GROUP: Final = "attrikit-loader"
