"""Destinations of records: Kafka, or memory. Both raise the errors of `pipeline.runtime.kafka.producer`."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from pipeline.runtime.connection_settings import KafkaSettings
from pipeline.runtime.kafka.producer import ACKNOWLEDGE_SECONDS, NotConnected, ReconnectingProducer, SendFailed
from pipeline.runtime.kafka.topics import TopicMismatch
from pipeline.runtime.log import get_logger
from pipeline.runtime.topics import ensure_topics
from pipeline.runtime.traces.tracer import NO_HEADERS, Headers
from schemas.topics import Topic
from services.gateway.metrics import BROKER_CONNECTIONS


class Sink(Protocol):
    """Destination of records; each write returns when the record is safe."""

    @property
    def is_connected(self) -> bool: ...

    async def start(self) -> None:
        """Begin connecting; does not wait for it."""
        ...

    async def send(self, topic: str, partition: int, value: bytes, headers: Headers = NO_HEADERS) -> None:
        """Send a record; returns when all in-sync replicas have acknowledged it; raises `SendFailed`."""
        ...

    async def stop(self) -> None:
        """Release everything. Calls that still await `send` get a `SendFailed`."""
        ...


class MemorySink:
    """Keeps records in lists: for tests, and for measuring the gateway without a broker.

    `fail_with` makes sends fail; `hold` makes them wait until `release`, as a broker that does not answer would.
    """

    def __init__(self, is_connected: bool = True) -> None:
        self.records: list[tuple[str, int, bytes]] = []
        self.headers: list[Headers] = []
        """Headers of the records."""
        self.is_connected = is_connected
        self.fail_with: str | None = None
        self._open = asyncio.Event()
        self._open.set()

    async def start(self) -> None:
        """Do nothing: there is nothing to connect to."""

    async def send(self, topic: str, partition: int, value: bytes, headers: Headers = NO_HEADERS) -> None:
        if not self.is_connected:
            raise NotConnected("not connected")
        await self._open.wait()
        if self.fail_with is not None:
            raise SendFailed(self.fail_with)
        self.records.append((topic, partition, value))
        self.headers.append(headers)

    async def stop(self) -> None:
        self.is_connected = False
        self.fail_with = "stopped"
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def lines(self, topic: Topic) -> list[bytes]:
        """Return all lines of a topic, in the order they were written."""
        return [line for at, _, value in self.records if at == topic for line in value.splitlines()]


class KafkaSink(ReconnectingProducer):
    """A producer for the gateway's topics, which are made first. `on_fatal`: see `ReconnectingProducer`."""

    def __init__(
        self,
        settings: KafkaSettings,
        on_fatal: Callable[[Exception], None] = lambda _: None,
        give_up_seconds: float = ACKNOWLEDGE_SECONDS,
    ) -> None:
        super().__init__(
            settings,
            get_logger("gateway"),
            acknowledge_seconds=give_up_seconds,
            prepare=lambda: ensure_topics(settings),
            fatal=(TopicMismatch,),
            on_fatal=on_fatal,
            on_connected=BROKER_CONNECTIONS.inc,
            topics=(Topic.EVENTS, Topic.PEOPLE, Topic.REJECTED),
        )
