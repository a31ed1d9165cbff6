"""The gateway's own packing of pieces against the packing producer: processor time for one that is sent alone.

Both send to memory, so what is measured is the packing only.
"""

import asyncio
import time
from typing import Final

import structlog
from figures import Figure

from pipeline.runtime.kafka.producer import PackingProducer
from pipeline.runtime.settings import Settings
from pipeline.runtime.traces.tracer import NO_HEADERS, Headers
from schemas.topics import Topic
from services.gateway.packing import Piece
from services.gateway.publish import Publisher
from services.gateway.sink import MemorySink
from services.web.budget import Budget, Payer

PIECES: Final = 20_000
PARTITIONS: Final = 4
LINE: Final = b"x" * 600


class Acknowledging(MemorySink):
    """Acknowledges a record at the next turn of the event loop, and forgets it."""

    async def connected(self) -> None: ...

    async def send(self, topic: str, partition: int, value: bytes, headers: Headers = NO_HEADERS) -> None:
        await asyncio.sleep(0)


async def _gateway() -> float:
    publisher = Publisher(Acknowledging(), PARTITIONS, Budget(1 << 30), 2.0)
    payer, started = Payer("shop", "192.0.2.1"), time.process_time()
    for number in range(PIECES):
        await publisher.publish([Piece(number % PARTITIONS, LINE)], payer)
    return _microseconds(started)


async def _producer() -> float:
    producer = PackingProducer(Settings(), structlog.get_logger())
    producer._producer = Acknowledging()  # type: ignore[assignment]
    started = time.process_time()
    for number in range(PIECES):
        await producer.put(Topic.EVENTS, number % PARTITIONS, LINE)
    return _microseconds(started)


def _microseconds(started: float) -> float:
    return (time.process_time() - started) / PIECES * 1e6


def run() -> list[Figure]:
    own, shared = asyncio.run(_gateway()), asyncio.run(_producer())
    return [Figure("gateway: a piece alone (baseline: packing producer)", own, "µs", shared)]
