"""Inserting until it is there, and isolating what is refused. The stand-in refuses what is no JSON object."""

import asyncio
import json
from typing import Any

import pytest
from kept_spans import PARENT, RECORDED, TRACE, KeptSpans, parent_of, recorded

from pipeline.runtime.clickhouse import ClickHouseRejected, ClickHouseUnavailable
from pipeline.runtime.retry import Pauses
from services.loader import store as store_module
from services.loader.blocks import Block, Message
from services.loader.store import BlockStore


class MemoryClickHouse:
    """Keeps rows by table; away for the first `failures` calls; a block is stored whole or not at all."""

    def __init__(self, failures: int = 0) -> None:
        self.tables: dict[str, list[Any]] = {}
        self.calls = 0
        self._failures = failures
        self._tokens: set[str] = set()

    async def insert_ndjson(self, table: str, data: bytes, token: str = "") -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise ClickHouseUnavailable("away", 210)
        rows = [self._parse(line) for line in data.split(b"\n") if line.strip()]
        if token not in self._tokens:
            self._tokens.add(token)
            self.tables.setdefault(table, []).extend(rows)

    def _parse(self, line: bytes) -> Any:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ClickHouseRejected(f"Code: 27. DB::Exception: {error}", 27) from None
        if not isinstance(row, dict):
            raise ClickHouseRejected("Code: 27. DB::Exception: expected '{'", 27)
        return row


def block(*values: bytes) -> Block:
    messages = tuple(Message("events", 0, offset, 1_000, value) for offset, value in enumerate(values))
    return Block("events", messages, sum(m.rows for m in messages), sum(map(len, values)))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "PAUSES", Pauses(0.0, 0.0))


async def test_a_block_goes_in_whole() -> None:
    clickhouse = MemoryClickHouse()
    await BlockStore(clickhouse).store(block(b'{"n":1}\n{"n":2}', b'{"n":3}'))
    assert clickhouse.tables == {"events": [{"n": 1}, {"n": 2}, {"n": 3}]}
    assert clickhouse.calls == 1


async def test_it_waits_for_clickhouse_and_loses_nothing() -> None:
    clickhouse = MemoryClickHouse(failures=7)
    await BlockStore(clickhouse).store(block(b'{"n":1}', b"nonsense", b'{"n":2}'))
    assert clickhouse.tables["events"] == [{"n": 1}, {"n": 2}]
    assert len(clickhouse.tables["rejected"]) == 1


async def test_a_stop_ends_the_waiting() -> None:
    clickhouse = MemoryClickHouse(failures=10**9)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(BlockStore(clickhouse).store(block(b'{"n":1}')), 0.05)
    assert clickhouse.tables == {}


@pytest.mark.parametrize("bad_at", [0, 1, 17, 49, 98, 99])
async def test_one_bad_line_costs_its_neighbours_nothing(bad_at: int) -> None:
    lines = [b'{"n":%d}' % n for n in range(100)]
    lines[bad_at] = b'{"n":'
    clickhouse = MemoryClickHouse()
    await BlockStore(clickhouse).store(block(b"\n".join(lines[:40]), b"\n".join(lines[40:])))
    assert [row["n"] for row in clickhouse.tables["events"]] == [n for n in range(100) if n != bad_at]
    [reject] = clickhouse.tables["rejected"]
    assert reject["payload"] == '{"n":'
    assert clickhouse.calls < 20


async def test_a_block_of_nothing_but_bad_lines_ends() -> None:
    clickhouse = MemoryClickHouse()
    await BlockStore(clickhouse).store(block(b"a\nb\nc", b"d\xff", b"[]"))
    assert "events" not in clickhouse.tables
    assert len({row["reject_id"] for row in clickhouse.tables["rejected"]}) == 5


async def test_the_same_bad_block_again_gives_the_same_rejects() -> None:
    first, second = MemoryClickHouse(), MemoryClickHouse()
    for clickhouse in (first, second):
        await BlockStore(clickhouse).store(block(b'{"n":1}\nbad'))
    assert first.tables == second.tables


@pytest.mark.parametrize("value", [b"", b"\n", b"\n\n"])
async def test_an_empty_message_is_no_row(value: bytes) -> None:
    clickhouse = MemoryClickHouse()
    await BlockStore(clickhouse).store(block(value))
    assert not clickhouse.tables.get("events")


async def test_the_insert_of_a_block_is_a_step_of_all_traces_in_it() -> None:
    kept = KeptSpans()
    messages = [
        Message("events", 0, offset, 0, b'{"n":1}', traceparent)
        for offset, traceparent in enumerate([b"", RECORDED, recorded(1), RECORDED])
    ]
    clickhouse = MemoryClickHouse(failures=1)
    await BlockStore(clickhouse, kept.tracer).store(Block("events", tuple(messages), 4, 28))
    (span,) = kept.all
    assert span.name == "insert events"
    assert parent_of(span) == (int(TRACE, 16), int(PARENT, 16))
    assert [link.context.trace_id for link in span.links] == [2]
    found = dict(span.attributes or {})
    assert (found["attrikit.rows"], found["attrikit.messages"]) == (4, 4)
    await BlockStore(clickhouse, kept.tracer).store(Block("events", (messages[0],), 1, 7))
    assert len(kept.all) == 1
