"""Every topic in one place: who writes it, who reads it, what a message is, how it is kept."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.webhooks import RETRY_DELAYS_MS

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
    WEBHOOK_DELIVERIES = "webhook-deliveries"
    WEBHOOK_RETRIES = "webhook-retries"
    WEBHOOK_ATTEMPTS = "webhook-attempts"
    PEOPLE = "people"
    PERSON_LINKS = "person-links"
    COSTS = "costs"
    GATEWAY_COUNTS = "gateway-counts"
    ALERT_WINDOWS = "alert-windows"
    ALERTS = "alerts"

    @property
    def spec(self) -> "TopicSpec":
        return _SPECS[self]

    @property
    def is_loaded(self) -> bool:
        """True if the loader inserts it into the table of its name."""
        return "services.loader" in self.spec.consumers


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
    partitions: int | None = None
    """None: as many as `events` has."""

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
    Topic.COSTS: TopicSpec(
        "none; the partition is that of the app",
        "packed NDJSON of schemas.facts.CostRow",
        "attrikit costs import",
        ("services.loader",),
        retention_days=30,
    ),
    Topic.PEOPLE: TopicSpec(
        key="none; the partition is that of (app, anonymous id) for a link, else that of (app, user)",
        message="packed NDJSON of schemas.people",
        producer="services.gateway, pipeline.stream",
        consumers=("pipeline.stream",),
        retention_days=30,
    ),
    Topic.PERSON_LINKS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader",)),
    Topic.PROGRESS: TopicSpec("none", _DERIVED, "pipeline.stream", ("services.loader",), retention_days=1),
    Topic.WEBHOOK_DELIVERIES: TopicSpec(
        key="none; the partition is that of the endpoint",
        message="packed NDJSON of schemas.webhooks.Delivery, due now",
        producer="services.webhooks, services.gateway",
        consumers=("services.webhooks",),
    ),
    Topic.WEBHOOK_RETRIES: TopicSpec(
        key="none; the partition is that of the delay (schemas.webhooks.RETRY_DELAYS_MS)",
        message="packed NDJSON of schemas.webhooks.Delivery, waiting",
        producer="services.webhooks",
        consumers=("services.webhooks",),
        partitions=len(RETRY_DELAYS_MS),
    ),
    Topic.WEBHOOK_ATTEMPTS: TopicSpec(
        key="none; the partition is that of the endpoint",
        message="packed NDJSON of schemas.webhooks.WebhookAttemptRow",
        producer="services.webhooks",
        consumers=("services.loader",),
    ),
    Topic.GATEWAY_COUNTS: TopicSpec("none", _DERIVED, "services.gateway", ("services.loader",)),
    Topic.ALERT_WINDOWS: TopicSpec(
        "none; the partition is that of (app, rule)",
        _DERIVED,
        "services.alerts",
        ("services.loader", "services.alerts"),
        retention_days=30,
    ),
    Topic.ALERTS: TopicSpec(
        "none; the partition is that of (app, rule)",
        _DERIVED,
        "services.alerts",
        ("services.loader", "services.webhooks"),
        retention_days=30,
    ),
}

DERIVED_TOPICS: Final = (
    Topic.SESSIONS,
    Topic.TOUCHES,
    Topic.CONVERSIONS,
    Topic.ATTRIBUTIONS,
    Topic.EVENT_MARKS,
    Topic.PERSON_LINKS,
)
"""Topics that the stream alone writes; `progress` says where it stands in each."""

STREAM_GROUP: Final = "attrikit-stream"
PEOPLE_GROUP: Final = "attrikit-stream-people"
"""Commits how far the stream has come in `people`, for all to see; the stream itself goes by its own changelog."""
LOADER_GROUP: Final = "attrikit-loader"
WEBHOOK_FACTS_GROUP: Final = "attrikit-webhooks-facts"
WEBHOOK_DELIVERIES_GROUP: Final = "attrikit-webhooks-deliveries"
WEBHOOK_RETRIES_GROUP: Final = "attrikit-webhooks-retries"
