"""Counts of this process's answers, per app and minute of receipt: the gateway's own account, in a topic of its own.

Prometheus' counters end with the process; the ledger needs counts that do not.

The counts of a minute only grow, and its row is written anew while they do. So a row that is written twice, or not at
all until the next, does no harm, and of a gateway that is killed at most the last second is missing.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.producer import SendFailed
from pipeline.runtime.lifecycle import Background
from pipeline.runtime.log import get_logger
from schemas.facts import LATENCY_BOUNDS_MS, GatewayCountRow, encode_rows
from schemas.ids import partition_for
from schemas.topics import Topic
from services.gateway.sink import Sink

MINUTE_MS: Final = 60_000
WRITE_EVERY_SECONDS: Final = 1.0
_KEPT_MINUTES: Final = 5
"""Minutes kept: a request counts in the minute of its receipt, and may be answered a good while later."""
_log = get_logger("gateway")


class Tallies:
    """The counts themselves. No I/O; `gateway_id` is another one with every start."""

    def __init__(self, gateway_id: str) -> None:
        self._gateway_id = gateway_id
        self._rows: dict[tuple[str, int], GatewayCountRow] = {}
        self._changed: set[tuple[str, int]] = set()
        self._forgotten_before_ms = 0

    def events(
        self, app_id: str, received_us: int, *, accepted: int = 0, duplicates: int = 0, rejected: int = 0
    ) -> None:
        row = self._row(app_id, received_us // 1000)
        row.accepted += accepted
        row.duplicates += duplicates
        row.rejected += rejected

    def request(self, app_id: str, now_ms: int, seconds: float, *, has_failed: bool) -> None:
        row = self._row(app_id, now_ms)
        row.requests += 1
        row.failed += has_failed
        row.latency_counts[bisect_left(LATENCY_BOUNDS_MS, seconds * 1000)] += 1

    def take_changed(self) -> list[GatewayCountRow]:
        """Return copies of the rows that changed since the last call, each with its next sequence number."""
        taken = []
        for place in sorted(self._changed):
            row = self._rows[place]
            row.sequence += 1
            taken.append(msgspec.structs.replace(row, latency_counts=list(row.latency_counts)))
        self._changed.clear()
        return taken

    def put_back(self, rows: Iterable[GatewayCountRow]) -> None:
        """Put back rows that could not be written."""
        self._changed |= {(row.app_id, row.minute_ms) for row in rows}

    def forget_before(self, time_ms: int) -> None:
        """Drop what is written and will not change any more. Were it to, it would count in a minute that is still
        here: a row must not begin again at 0 under the same name."""
        minute_ms = time_ms // MINUTE_MS * MINUTE_MS
        for place in [place for place in self._rows if place[1] < minute_ms and place not in self._changed]:
            del self._rows[place]
            self._forgotten_before_ms = max(self._forgotten_before_ms, minute_ms)

    def _row(self, app_id: str, time_ms: int) -> GatewayCountRow:
        minute_ms = max(time_ms, self._forgotten_before_ms) // MINUTE_MS * MINUTE_MS
        place = app_id, minute_ms
        row = self._rows.get(place)
        if row is None:
            latencies = [0] * (len(LATENCY_BOUNDS_MS) + 1)
            row = GatewayCountRow(app_id, self._gateway_id, minute_ms, 0, latency_counts=latencies)
            self._rows[place] = row
        self._changed.add(place)
        return row


class TallyWriter:
    """Writes what changed every second, and once more at the end. A broker that is away costs nothing but time."""

    def __init__(
        self,
        tallies: Tallies,
        sink: Sink,
        partitions: int,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_failure` hears of an error after which nothing would be written any more."""
        self._tallies = tallies
        self._sink = sink
        self._partitions = partitions
        self._background = Background(on_failure)

    async def start(self) -> None:
        self._background.start(self._run())

    async def stop(self) -> None:
        """Stop, before the sink stops; what it does not take now is lost."""
        await self._background.stop()
        try:
            await asyncio.wait_for(self.write(), WRITE_EVERY_SECONDS)
        except TimeoutError:
            _log.warning("last_counts_not_written")

    async def write(self) -> None:
        """Send what changed since it was last written."""
        by_partition: dict[int, list[GatewayCountRow]] = {}
        for row in self._tallies.take_changed():
            by_partition.setdefault(partition_for(row.app_id, row.gateway_id, self._partitions), []).append(row)
        for partition, rows in by_partition.items():
            try:
                await self._sink.send(Topic.GATEWAY_COUNTS, partition, encode_rows(rows))
            except SendFailed:
                self._tallies.put_back(rows)
            except asyncio.CancelledError:
                self._tallies.put_back(rows)
                raise

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            await self.write()
            self._tallies.forget_before(now_ms() - _KEPT_MINUTES * MINUTE_MS)
