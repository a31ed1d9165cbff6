"""Destinations of records: Kafka, or memory.

    SinkError            the record may or may not have been written; the caller may send the same again
    └── SinkAway         there is no connection: the record was certainly not written

A Kafka producer that fails for good is replaced. aiokafka's idempotent producer retries what can be retried for as
long as it takes, so any error it does raise means that its numbering and the broker's have parted (a broker that lost
its disk, say), and every later record of the partition would fail as well.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.kafka.topics import TopicMismatch
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.topics import Topic
from services.gateway.metrics import BROKER_CONNECTIONS

_OPEN_SECONDS: Final = 15.0
_CLOSE_SECONDS: Final = 5.0
_GIVE_UP_SECONDS: Final = 30.0
_FIRST_DELAY_SECONDS: Final = 0.1
_LONGEST_DELAY_SECONDS: Final = 2.0
_log = get_logger("gateway")


class SinkError(Exception):
    """Error: a record was not acknowledged."""


class SinkAway(SinkError):
    """Error: there is no connection to the broker."""


class Sink(Protocol):
    """Destination of records; each write returns when the record is safe."""

    @property
    def is_connected(self) -> bool: ...

    async def start(self) -> None:
        """Begin connecting; does not wait for it."""
        ...

    async def send(self, topic: Topic, partition: int, value: bytes) -> None:
        """Send a record; returns when all in-sync replicas have acknowledged it; raises `SinkError`."""
        ...

    async def stop(self) -> None:
        """Release everything. Calls that still await `send` get a `SinkError`."""
        ...


class MemorySink:
    """Keeps records in lists: for tests, and for measuring the gateway without a broker.

    `fail_with` makes sends fail; `hold` makes them wait until `release`, as a broker that does not answer would.
    """

    def __init__(self, is_connected: bool = True) -> None:
        self.records: list[tuple[Topic, int, bytes]] = []
        self.is_connected = is_connected
        self.fail_with: str | None = None
        self._open = asyncio.Event()
        self._open.set()

    async def start(self) -> None:
        """Do nothing: there is nothing to connect to."""

    async def send(self, topic: Topic, partition: int, value: bytes) -> None:
        if not self.is_connected:
            raise SinkAway("not connected")
        await self._open.wait()
        if self.fail_with is not None:
            raise SinkError(self.fail_with)
        self.records.append((topic, partition, value))

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
        return [line for at, _, value in self.records if at is topic for line in value.splitlines()]


class KafkaSink:
    """An aiokafka producer, opened in the background, opened again when it fails for good."""

    def __init__(
        self,
        settings: Settings,
        on_fatal: Callable[[Exception], None] | None = None,
        give_up_seconds: float = _GIVE_UP_SECONDS,
    ) -> None:
        """Prepare the producer. `on_fatal`: called once with an error that no retry will mend. `give_up_seconds`: after
        so long without an acknowledgement the producer is replaced: topics may have to be made again, or the broker has
        moved.
        """
        self._settings = settings
        self._give_up_seconds = give_up_seconds
        self._on_fatal = on_fatal
        self._producer: AIOKafkaProducer | None = None
        self._unanswered: set[asyncio.Future[object]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    @property
    def is_connected(self) -> bool:
        return self._producer is not None

    async def start(self) -> None:
        self._spawn_connect()

    async def send(self, topic: Topic, partition: int, value: bytes) -> None:
        producer = self._producer
        if producer is None:
            raise SinkAway("there is no connection to the broker")
        try:
            await self._send(producer, topic, partition, value)
        except (SinkError, asyncio.CancelledError):
            raise
        except MessageSizeTooLargeError as error:
            raise SinkError(str(error)) from error
        except Exception as error:
            self._replace(producer, error)
            raise SinkError(f"{type(error).__name__}: {error}") from error

    async def stop(self) -> None:
        self._is_stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._close(producer)

    async def _send(self, producer: AIOKafkaProducer, topic: Topic, partition: int, value: bytes) -> None:
        async with asyncio.timeout(self._give_up_seconds):
            future: asyncio.Future[object] = await producer.send(topic.value, value, partition=partition)
            self._unanswered.add(future)
            try:
                await future
            finally:
                self._unanswered.discard(future)

    def _spawn_connect(self) -> None:
        task = asyncio.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        delay_seconds = _FIRST_DELAY_SECONDS
        while True:
            try:
                self._producer = await self._open()
            except TopicMismatch as error:
                _log.error("topic_mismatch", error=str(error))
                if self._on_fatal is not None:
                    self._on_fatal(error)
                return
            except Exception as error:
                _log.warning("broker_away", error=f"{type(error).__name__}: {error}", retry_seconds=delay_seconds)
            else:
                BROKER_CONNECTIONS.inc()
                _log.info("broker_connected", bootstrap=self._settings.kafka_bootstrap)
                return
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, _LONGEST_DELAY_SECONDS)

    async def _open(self) -> AIOKafkaProducer:
        async with asyncio.timeout(_OPEN_SECONDS):
            await ensure_topics(self._settings)
            # NDJSON shrinks to a tenth or less: what that costs here, the broker saves several times over.
            producer = build_producer(self._settings, compression="zstd")
            try:
                await producer.start()
                for topic in (Topic.EVENTS, Topic.PEOPLE, Topic.REJECTED):
                    await producer.partitions_for(topic.value)
            except BaseException:
                await self._close(producer)
                raise
            return producer

    def _replace(self, producer: AIOKafkaProducer, error: Exception) -> None:
        """Take the failed producer out of service and open another; called once per producer."""
        if self._producer is not producer or self._is_stopping:
            return
        self._producer = None
        _log.error("producer_failed", error=f"{type(error).__name__}: {error}")
        self._fail_unanswered()
        closing = asyncio.create_task(self._close(producer))
        self._tasks.add(closing)
        closing.add_done_callback(self._tasks.discard)
        self._spawn_connect()

    def _fail_unanswered(self) -> None:
        for future in self._unanswered:
            if not future.done():
                future.set_exception(SinkError("the connection to the broker was given up"))

    async def _close(self, producer: AIOKafkaProducer) -> None:
        """Flush and close; a producer that cannot flush because the broker is away is broken off."""
        try:
            await asyncio.wait_for(producer.stop(), _CLOSE_SECONDS)
        except Exception as error:
            _log.warning("producer_broken_off", error=f"{type(error).__name__}: {error}")
            self._fail_unanswered()
            # stop() has no way to give up, so end what it would have ended after the flush.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer._sender.close(), _CLOSE_SECONDS)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(producer.client.close(), _CLOSE_SECONDS)
