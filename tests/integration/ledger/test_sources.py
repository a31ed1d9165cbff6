"""The accounts read from a real topic and real tables: they agree where nothing is wrong, and name what is."""

from collections.abc import Callable, Iterator

import pytest
from stream_worker import produce

from deploy.ledger.balance import HOUR_MS, PartitionHour, balance
from deploy.ledger.sources import DirectStore, gateway_account, open_events, table_account
from deploy.local.broker import NoidaBroker
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from pipeline.runtime.settings import Settings
from schemas.events import AcceptedEvent, encode_event
from schemas.facts import EventMarkRow, GatewayCountRow, encode_rows
from schemas.ids import partition_for
from schemas.persons import person_key

HOUR = 500_000
AT_MS = HOUR * HOUR_MS
FAR_US = (AT_MS + 100 * HOUR_MS) * 1000


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory, make_settings: Callable[..., Settings]) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("ledger-broker")
    broker = NoidaBroker(folder / "data", folder / "broker.log")
    broker.start()
    yield make_settings(kafka_bootstrap=broker.bootstrap)
    broker.kill()


def event(number: int, received_ms: int = AT_MS, user_id: str | None = None) -> AcceptedEvent:
    names = ("", "小明", "u/1 ", "user") if user_id is None else (user_id,)
    name = names[number % len(names)]
    return AcceptedEvent(
        "shop", f"e{number}", "page_view", AT_MS, received_ms * 1000 + number, name, "" if name else f"a{number % 3}"
    )


def partition_of(found: AcceptedEvent) -> int:
    return partition_for(found.app_id, person_key(found.user_id, found.anonymous_id, found.event_id), 4)


async def test_they_agree_and_name_the_partition_of_what_is_missing(settings: Settings, clickhouse: ClickHouse) -> None:
    events = [event(n) for n in range(20)] + [event(n, AT_MS + HOUR_MS) for n in range(20, 30)]
    repeat = event(3, AT_MS + 2 * HOUR_MS)
    lines = [*events, repeat]
    await produce(settings, [(partition_of(line), encode_event(line) + b"\n") for line in lines])
    await produce(settings, [(2, b"no event\n")])
    lost = events[7]
    await clickhouse.insert_ndjson("events", b"\n".join(encode_event(e) for e in lines if e is not lost))
    mark = EventMarkRow("shop", "e3", "duplicate", AT_MS, AT_MS, repeat.received_us, partition_of(repeat), 9, 0)
    await clickhouse.insert_ndjson("event_marks", encode_rows([mark]))
    counts = [GatewayCountRow("shop", "gw_1", AT_MS, 1, accepted=20, latency_counts=[])]
    await clickhouse.insert_ndjson("gateway_counts", encode_rows(counts))

    async with open_events(settings) as reader:
        ends = await reader.ends()
        span = await reader.span(ends)
        topic = await reader.count(span, FAR_US // 1000)
        early = await reader.count(span, AT_MS + HOUR_MS)
        now = now_ms()
        recent, future = [await reader.count(await reader.span(ends, at), FAR_US // 1000) for at in (now, 2 * now)]
    assert (span.from_ms, topic.lines.total(), early.lines.total()) == (0, 31, 20)
    assert recent.lines == topic.lines
    assert future.lines.total() == future.unreadable.total() == 0
    assert topic.unreadable == {2: 1}
    found = await DirectStore(clickhouse, 4).ledger(0, FAR_US)
    result = balance(topic, table_account(found), gateway_account(found))
    missing, unreadable = result.problems
    assert (missing.app_id, missing.hour, missing.partition) == PartitionHour("shop", HOUR, partition_of(lost))
    assert unreadable.partition == 2

    await clickhouse.insert_ndjson("events", encode_event(lost))
    found = await DirectStore(clickhouse, 4).ledger(0, FAR_US)
    result = balance(topic, table_account(found), gateway_account(found))
    assert [problem.partition for problem in result.problems] == [2]
    assert [
        (line.bucket.hour - HOUR, line.acknowledged, line.accepted, line.stored, line.duplicates)
        for line in result.lines
    ] == [
        (0, 20, 20, 20, 0),
        (1, 0, 10, 10, 0),
        (2, 0, 1, 0, 1),
    ]
