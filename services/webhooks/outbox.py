"""Writer to Kafka: lines that wait for the same partition share a record, and each waits until its record is
acknowledged.

It never gives up and never loses a line: while the broker is away it tries again, with another producer where the one
there was has failed for good. A line may then be written twice; deliveries and attempts have ids that tell.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.log import get_logger
from pipeline.runtime.settings import Settings
from schemas.topics import Topic

MAX_RECORD_BYTES: Final = 512 * 1024
MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
"""Limit on waiting bytes: above it, readers from Kafka should pause (`room`)."""
_ACKNOWLEDGE_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 2.0
log = get_logger("webhooks")

_Waiting = deque[tuple[bytes, "asyncio.Future[None]"]]


class Outbox:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._waiting: dict[tuple[Topic, int], _Waiting] = {}
        self._sending: dict[tuple[Topic, int], asyncio.Task[None]] = {}
        self._waiting_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def is_connected(self) -> bool:
        return self._producer is not None

    async def start(self) -> None:
        """Start the producer; returns when the broker answers."""
        await self._connected()

    async def put(self, topic: Topic, partition: int, line: bytes) -> None:
        """Write a line (without its newline); returns when all in-sync replicas have acknowledged it."""
        place = (topic, partition)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, deque()).append((line, acknowledged))
        self._took(len(line))
        if place not in self._sending:
            self._sending[place] = asyncio.create_task(self._send_all(place))
        await acknowledged

    async def room(self) -> None:
        """Wait until there is room for more."""
        await self._has_room.wait()

    async def stop(self) -> None:
        """Stop. Lines still waiting are dropped, and the calls that wait for them fail."""
        for task in list(self._sending.values()):
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer)

    def _took(self, size_bytes: int) -> None:
        self._waiting_bytes += size_bytes
        if self._waiting_bytes < MAX_WAITING_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _send_all(self, place: tuple[Topic, int]) -> None:
        waiting = self._waiting[place]
        try:
            while waiting:
                lines = _next_group(waiting)
                value = b"".join([line + b"\n" for line, _ in lines])
                await self._send(place, value)
                self._took(-sum(len(line) for line, _ in lines))
                for _, acknowledged in lines:
                    if not acknowledged.done():
                        acknowledged.set_result(None)
        finally:
            del self._sending[place]

    async def _send(self, place: tuple[Topic, int], value: bytes) -> None:
        pause_seconds = 0.1
        while True:
            producer = await self._connected()
            try:
                async with asyncio.timeout(_ACKNOWLEDGE_SECONDS):
                    await producer.send_and_wait(place[0].value, value, partition=place[1])
                return
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("not acknowledged", topic=place[0].value, reason=repr(error)[:300])
                await self._drop(producer)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            pause_seconds = 0.1
            while self._producer is None:
                producer = build_producer(self._settings, compression="zstd")
                try:
                    await producer.start()
                    self._producer = producer
                except (KafkaError, OSError) as error:
                    log.warning("broker away", reason=repr(error)[:300])
                    await _close(producer)
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            return self._producer

    async def _drop(self, producer: AIOKafkaProducer) -> None:
        """Its numbering and the broker's may have parted: no later record of it would be taken."""
        if self._producer is producer:
            self._producer = None
            await _close(producer)


def _next_group(waiting: _Waiting) -> list[tuple[bytes, "asyncio.Future[None]"]]:
    group = [waiting.popleft()]
    size_bytes = len(group[0][0])
    while waiting and size_bytes + len(waiting[0][0]) <= MAX_RECORD_BYTES:
        group.append(waiting.popleft())
        size_bytes += len(group[-1][0])
    return group


async def _close(producer: AIOKafkaProducer) -> None:
    try:
        await asyncio.wait_for(producer.stop(), _CLOSE_SECONDS)
    except Exception as error:
        log.warning("producer broken off", reason=repr(error)[:300])
        # stop() has no way to give up, so end what it would have ended after the flush.
        with suppress(Exception):
            await asyncio.wait_for(producer._sender.close(), _CLOSE_SECONDS)
        with suppress(Exception):
            await asyncio.wait_for(producer.client.close(), _CLOSE_SECONDS)
