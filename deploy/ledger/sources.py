"""Readers of the accounts: the topic is read, the tables are queried (over HTTP where another process has them
open).
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from deploy.ledger.balance import (
    HOUR_MS,
    Bucket,
    GatewayAccount,
    PartitionHour,
    StateAccount,
    TableAccount,
    TopicAccount,
)
from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import first_record, read_range
from pipeline.runtime.settings import Settings
from pipeline.stream import decode
from schemas.events import StreamEvent
from schemas.topics import Topic
from services.query.operator.answers import CountRow, LedgerCounts, StoreState
from services.query.operator.reader import ledger_counts, store_state
from services.query.operator.routes import PREFIX

_HTTP_SECONDS: Final = 600.0
_FIRST_SECONDS: Final = 30.0
MAX_REPEATS_LINES: Final = 2_000_000
"""Maximum number of lines checked for repeats: about 200 MB."""
_CLOCKS_OFF_MS: Final = 600_000
"""Maximum difference between the clocks of gateways and brokers, in milliseconds."""


class StoreAway(Exception):
    """Error: the tables cannot be read now. The message gives the reason, for the person at the terminal."""


class Store(Protocol):
    """The tables, local or remote. Both methods raise `StoreAway`."""

    async def ledger(self, from_us: int, through_us: int) -> LedgerCounts: ...

    async def state(self) -> StoreState: ...


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """Open the tables: on a ClickHouse server; else through the process that has the embedded ones open; else
    directly.
    """
    if not settings.clickhouse_url and settings.query_url and settings.operator_token:
        headers = {"Authorization": f"Bearer {settings.operator_token.get_secret_value()}"}
        async with httpx.AsyncClient(
            base_url=settings.query_url, headers=headers, timeout=_HTTP_SECONDS, trust_env=False
        ) as client:
            yield RemoteStore(client)
        return
    try:
        clickhouse = ClickHouse.open(settings)
    except ClickHouseError as error:
        raise StoreAway(
            f"{error}. Its process answers for it where ATTRIKIT_QUERY_URL and ATTRIKIT_OPERATOR_TOKEN are set"
        ) from error
    try:
        yield DirectStore(clickhouse, settings.partitions)
    finally:
        clickhouse.close()


class DirectStore:
    def __init__(self, clickhouse: ClickHouse, partitions: int) -> None:
        self._clickhouse = clickhouse
        self._partitions = partitions

    async def ledger(self, from_us: int, through_us: int) -> LedgerCounts:
        try:
            return await ledger_counts(self._clickhouse, self._partitions, from_us, through_us)
        except ClickHouseError as error:
            raise StoreAway(f"ClickHouse does not answer: {error}") from error

    async def state(self) -> StoreState:
        try:
            return await store_state(self._clickhouse)
        except ClickHouseError as error:
            raise StoreAway(f"ClickHouse does not answer: {error}") from error


class RemoteStore:
    """Tables read through the query service, as an operator."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ledger(self, from_us: int, through_us: int) -> LedgerCounts:
        data = await self._get("/ledger", {"from_us": from_us, "through_us": through_us})
        return msgspec.convert(data, dict[str, list[CountRow]])

    async def state(self) -> StoreState:
        return msgspec.convert(await self._get("/store", {}), StoreState)

    async def _get(self, path: str, parameters: Mapping[str, int]) -> Any:
        try:
            response = await self._client.get(PREFIX + path, params=dict(parameters))
            response.raise_for_status()
            return response.json()["data"]
        except httpx.HTTPStatusError as error:
            raise StoreAway(f"{error.request.url} answered {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise StoreAway(f"{self._client.base_url} does not answer: {type(error).__name__}") from error


def table_account(counts: LedgerCounts) -> TableAccount:
    return TableAccount(
        stored=_by_partition_hour(counts["stored"]),
        duplicates=_by_partition_hour(counts["duplicates"]),
        swapped=_by_partition_hour(counts["swapped"]),
        late=_by_bucket(counts["late"]),
        rejected=_by_bucket(counts["rejected"]),
        put_aside=_by_bucket(counts["put_aside"]),
    )


def state_account(counts: LedgerCounts) -> StateAccount:
    return StateAccount(*(_by_app(counts[name]) for name in ("counted", "countable", "resent")))


def _by_app(rows: list[CountRow]) -> Counter[str]:
    return Counter({row.app_id: row.count for row in rows})


def gateway_account(counts: LedgerCounts) -> GatewayAccount:
    return GatewayAccount(acknowledged=_by_bucket(counts["acknowledged"]), rejected=_by_bucket(counts["refused"]))


def _by_partition_hour(rows: list[CountRow]) -> Counter[PartitionHour]:
    return Counter({PartitionHour(row.app_id, row.hour, row.place): row.count for row in rows})


def _by_bucket(rows: list[CountRow]) -> Counter[Bucket]:
    found: Counter[Bucket] = Counter()
    for row in rows:
        found[Bucket(row.app_id, row.hour)] += row.count
    return found


@dataclass(frozen=True)
class TopicSpan:
    """Range of `events` that can be read. `from_ms`: every hour of receipt from here on is complete."""

    begins: Mapping[int, int]
    ends: Mapping[int, int]
    from_ms: int


class EventsReader:
    """Reader of `events` from its beginning, in no group."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._consumer = consumer
        self._places = [TopicPartition(Topic.EVENTS.value, partition) for partition in range(partitions)]

    async def ends(self) -> dict[int, int]:
        return {place.partition: end for place, end in (await self._consumer.end_offsets(self._places)).items()}

    async def span(self, ends: Mapping[int, int], since_ms: int = 0) -> TopicSpan:
        """Return the range received from `since_ms` on. What has expired or been dropped at the head of a partition
        leaves its first hours incomplete, so it may begin later.
        """
        begins = await self._consumer.beginning_offsets(self._places)
        from_ms = since_ms
        for place, begin in begins.items():
            if 0 < begin < ends[place.partition]:
                from_ms = max(from_ms, await self._first_full_hour_ms(place, begin, ends[place.partition]))
        if from_ms:
            begins |= await self._later(begins, ends, from_ms)
        return TopicSpan({place.partition: begin for place, begin in begins.items()}, dict(ends), from_ms)

    async def _later(
        self, begins: Mapping[TopicPartition, int], ends: Mapping[int, int], from_ms: int
    ) -> dict[TopicPartition, int]:
        """Return the time to begin reading at. A record is written after its events were received, by a clock that may
        differ.
        """
        asked = dict.fromkeys(begins, max(0, from_ms - _CLOCKS_OFF_MS))
        found = await self._consumer.offsets_for_times(asked)
        return {
            place: max(begin, ends[place.partition] if found[place] is None else found[place].offset)
            for place, begin in begins.items()
        }

    async def count(self, span: TopicSpan, through_ms: int) -> TopicAccount:
        """Count the lines received from `span.from_ms` on and before `through_ms`."""
        account = TopicAccount()
        async for record in self._records(span, set(span.ends)):
            _count_record(account, record, span.from_ms, through_ms)
        return account

    async def repeats(self, span: TopicSpan, through_ms: int, wanted: set[PartitionHour]) -> Counter[PartitionHour]:
        """Count the repeated lines of each place: those whose event id stood in its partition before, or with the same
        time, and received earlier, in another partition. Empty if there are more lines to check than
        `MAX_REPEATS_LINES`.
        """
        found = RepeatedLines(wanted, through_ms)
        partitions = {place.partition for place in wanted}
        async for record in self._records(span, partitions):
            if not found.note(_decoded(record).records, record.partition):
                return Counter()
        async for record in self._records(span, set(span.ends)):
            found.compare(_decoded(record).records, record.partition)
        return found.count

    async def _records(self, span: TopicSpan, partitions: set[int]) -> AsyncIterator[ConsumerRecord[Any, Any]]:
        wanted = [place for place in self._places if place.partition in partitions]
        ranges = {place: (span.begins[place.partition], span.ends[place.partition]) for place in wanted}
        async for _, records in read_range(self._consumer, ranges):
            for record in records:
                yield record

    async def _first_full_hour_ms(self, place: TopicPartition, begin: int, end: int) -> int:
        first = await first_record(self._consumer, place, begin, end, _FIRST_SECONDS)
        if first is None:
            return 0
        latest_us = max((event.received_us for event in _decoded(first).records), default=0)
        return (max(latest_us // 1000, int(first.timestamp)) // HOUR_MS + 1) * HOUR_MS


class RepeatedLines:
    """Counter of the lines in some places that repeat other lines. Pure."""

    def __init__(self, wanted: set[PartitionHour], through_ms: int) -> None:
        """Count repeats in the places `wanted`, among lines received before `through_ms`."""
        self.count: Counter[PartitionHour] = Counter()
        self._through_us = through_ms * 1000
        self._wanted = wanted
        self._ids: set[int] = set()
        self._first: dict[int, tuple[PartitionHour, int]] = {}
        """Hash of app, id and time → (place, receipt)"""

    def note(self, events: Iterable[StreamEvent], partition: int) -> bool:
        """Add lines of a searched partition, in order; return whether there is room for more."""
        for event in events:
            place = _place(event, partition)
            key = hash((event.app_id, event.event_id, partition))
            if place not in self._wanted or event.received_us >= self._through_us:
                self._ids.add(key)
            elif key in self._ids:
                self.count[place] += 1
            else:
                self._ids.add(key)
                self._first[_line_key(event)] = (place, event.received_us)
        return len(self._ids) <= MAX_REPEATS_LINES

    def compare(self, events: Iterable[StreamEvent], partition: int) -> None:
        """Compare lines of any partition."""
        for event in events:
            place, received_us = self._first.get(_line_key(event), (None, 0))
            if place is not None and place.partition != partition and event.received_us <= received_us:
                self.count[place] += 1
                del self._first[_line_key(event)]


def _line_key(event: StreamEvent) -> int:
    return hash((event.app_id, event.event_id, event.timestamp_ms))


def _place(event: StreamEvent, partition: int) -> PartitionHour:
    return PartitionHour(event.app_id, event.received_us // 1000 // HOUR_MS, partition)


@asynccontextmanager
async def open_events(settings: Settings) -> AsyncIterator[EventsReader]:
    async with started(build_consumer(settings)) as consumer:
        yield EventsReader(consumer, settings.partitions)


def _decoded(record: ConsumerRecord[Any, Any]) -> decode.DecodedEvents:
    place = decode.Place(record.topic, record.partition, record.offset, record.timestamp)
    return decode.decode_message(record.value, place)


def _count_record(account: TopicAccount, record: ConsumerRecord[Any, Any], from_ms: int, through_ms: int) -> None:
    decoded = _decoded(record)
    lines: Counter[tuple[str, int]] = Counter()
    for event in decoded.records:
        received_ms = event.received_us // 1000
        if from_ms <= received_ms < through_ms:
            lines[event.app_id, received_ms // HOUR_MS] += 1
    for (app_id, hour), count in lines.items():
        account.lines[PartitionHour(app_id, hour, record.partition)] += count
    if decoded.rejected:
        account.unreadable[record.partition] += len(decoded.rejected)
