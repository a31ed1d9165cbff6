"""Progress reports of the stream: one row per partition, only as often as it is worth something.

Under load a row may wait `COALESCE_SECONDS` for a newer one of its partition; once a partition has nothing left to do,
its row is sent at once.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka import AIOKafkaProducer

from pipeline.runtime.waiting import event_or_timeout
from schemas.facts import ProgressRow, encode_rows
from schemas.topics import Topic

COALESCE_SECONDS: Final = 0.2


class ProgressReporter:
    """`run` must be running for anything to be sent; what it raises is for the process to end on."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._newest: dict[int, ProgressRow] = {}
        self._any = asyncio.Event()
        self._urgent = asyncio.Event()

    def report(self, row: ProgressRow, at_once: bool) -> None:
        """Replaces the row of this partition that was not sent yet."""
        self._newest[row.partition] = row
        self._any.set()
        if at_once:
            self._urgent.set()

    async def run(self) -> None:
        while True:
            await self._any.wait()
            await event_or_timeout(self._urgent, COALESCE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Send what waits, and wait for the broker."""
        rows, self._newest = self._newest, {}
        self._any.clear()
        self._urgent.clear()
        sent = [
            await self._producer.send(Topic.PROGRESS.value, encode_rows([row]), partition=partition)
            for partition, row in rows.items()
        ]
        if sent:
            await asyncio.gather(*sent)

    def drop(self, partitions: Iterable[int]) -> None:
        """These are no longer ours to report."""
        for partition in partitions:
            self._newest.pop(partition, None)
