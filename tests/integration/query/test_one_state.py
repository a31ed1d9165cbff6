"""While facts come in without end, table by table, every answer adds up in itself, and a walk misses nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from msgspec import structs
from query_world import FIRST_MS, make_world

from pipeline.runtime.clickhouse import ClickHouse
from schemas.facts import Model, encode_rows

ORDER = ("events", "sessions", "touches", "conversions", "attributions")


@asynccontextmanager
async def arriving(facts: ClickHouse, app_id: str) -> AsyncIterator[None]:
    """One session after another, each table at another moment, in the order that is worst for the reader."""
    stopped = asyncio.Event()

    async def write() -> None:
        seed = 100
        while not stopped.is_set():
            seed += 1
            world = make_world(f"{app_id}{seed}", seed=seed, persons=3)  # which makes the ids its own
            for table in Random(seed).sample(ORDER, len(ORDER)):
                rows = [structs.replace(row, app_id=app_id) for row in world.tables()[table]]
                if rows:
                    await facts.insert_ndjson(table, encode_rows(rows))

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        stopped.set()
        await writing


async def test_reports_add_up_at_every_moment(ask: Any, facts: ClickHouse) -> None:
    seen = set()
    async with arriving(facts, "flow"):
        for _ in range(12):
            data = await ask("reports/performance", key="flow", granularity="week", model="linear,last_click")
            totals = data["totals"]
            for name in ("touches", "clicks", "sessions", "conversions", "value", "refunded"):
                assert sum(item[name] for item in data["items"]) == totals[name], name
            for model in (Model.LINEAR, Model.LAST_CLICK):
                credited = sum((item["models"][model]["credited_conversions"] for item in data["items"]), Decimal(0))
                assert credited == totals["models"][model]["credited_conversions"] == totals["conversions"]
                assert totals["models"][model]["credited_value"] == totals["value"]
            seen.add(totals["touches"])
            report = await ask("attribution", key="flow")
            for model in Model:
                assert report["totals"]["models"][model]["credited_conversions"] == report["totals"]["conversions"]
                assert report["totals"]["models"][model]["credited_value"] == report["totals"]["value"]
            goals = await ask("reports/conversion", key="flow")
            counted = [item["conversions"] for item in goals["items"] if item["is_counted"]]
            assert sum(counted) == goals["totals"]["conversions"]
            for answer in (data, report, goals):
                found = [row["conversions"] for row in answer["by_goal"] if row["is_counted"]]
                assert sum(found) == answer["totals"]["conversions"]
            assert (
                sum(length["conversions"] for length in goals["totals"]["path_lengths"])
                == (goals["totals"]["conversions"])
            )
    assert len(seen) > 1, "nothing arrived meanwhile"


async def walk(ask: Any, path: str, limit: int, between: Any) -> list[str]:
    """Ids of all pages; `between` is awaited after each."""
    name = {"events": "event_id", "conversions": "conversion_id", "users": "id"}[path]
    seen: list[str] = []
    cursor, number = None, 0
    while True:
        data = await ask(path, key="walk", limit=limit, cursor=cursor)
        seen += [item[name] for item in data["items"]]
        cursor, number = data["next_cursor"], number + 1
        if cursor is None:
            return seen
        await between(number)


@pytest.mark.parametrize("path", ["events", "conversions", "users"])
async def test_a_walk_through_all_pages_misses_nothing_and_repeats_nothing(
    ask: Any, facts: ClickHouse, path: str
) -> None:
    """New rows land before, between and after those already seen, some in several revisions, some taken back."""
    world = make_world("walk", seed=50, persons=25)  # the same each time
    for table in ORDER:
        await facts.insert_ndjson(table, encode_rows(world.tables()[table]))

    async def nothing(_number: int) -> None:
        """Nobody writes."""

    async def arrive(number: int) -> None:
        at_ms = FIRST_MS + Random(number).randrange(40 * 86_400_000)
        new = {"app_id": "walk", "person_key": f"u:new-{path}{number}", "user_id": f"new-{path}{number}"}
        rows = {
            "events": {"event_id": f"new-{path}{number}", "event_name": "x", "timestamp_ms": at_ms, "received_us": 1},
            "conversions": {"conversion_id": f"new-{path}{number}", "goal": "late", "converted_at_ms": at_ms},
            "sessions": {"session_id": f"new-{path}{number}", "start_ms": at_ms, "end_ms": at_ms},
        }
        for table, row in rows.items():
            await facts.insert_ndjson(table, encode_rows([new | row | {"revision": 1}]))
            if number % 3 == 0 and table != "events":
                gone = {"revision": 2, "is_deleted": True}
                await facts.insert_ndjson(table, encode_rows([new | row | gone]))

    at_start = await walk(ask, path, 1000, nothing)
    assert len(at_start) > 20
    seen = await walk(ask, path, 11, arrive)
    assert [found for found in seen if found in set(at_start)] == at_start
    assert len(seen) == len(set(seen))
