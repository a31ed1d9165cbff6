"""ClickHouse cannot be reached: readers fail together and soon, not one timeout after another."""

import asyncio
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import pytest
from pydantic import SecretStr

from pipeline.runtime.clickhouse import ClickHouse, ClickHouseError, ClickHouseUnavailable
from pipeline.runtime.clickhouse import client as clickhouse_module
from pipeline.runtime.connection_settings import ClickHouseSettings
from services.query.core import reader as reader_module
from services.query.core.freshness import Freshness
from services.query.core.reader import Reader
from services.query.core.sql import QueryLimits
from services.web.budget import Budget
from services.web.errors import ApiError

READERS = 40


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts connected to; what was found out once stands for the whole test."""
    made: list[str] = []
    connect = clickhouse_connect.get_client

    def counted(**given: Any) -> Any:
        made.append(given["host"])
        return connect(**given)

    monkeypatch.setattr(clickhouse_connect, "get_client", counted)
    monkeypatch.setattr(clickhouse_module, "AWAY_SECONDS", 3_600.0)
    monkeypatch.setattr(reader_module, "FRESH_FOR_SECONDS", 3_600.0)
    return made


@pytest.fixture
def away(free_port: Any, attempts: list[str]) -> Iterator[ClickHouse]:
    clickhouse = ClickHouse.open(
        ClickHouseSettings(clickhouse_url=SecretStr(f"http://127.0.0.1:{free_port()}/attrikit"))
    )
    yield clickhouse
    clickhouse.close()


async def test_queries_that_wait_fail_at_once(away: ClickHouse, attempts: list[str]) -> None:
    found = await asyncio.gather(*(away.query_bytes("SELECT 1") for _ in range(READERS)), return_exceptions=True)
    assert {type(error) for error in found} == {ClickHouseUnavailable}
    assert 1 <= len(attempts) <= clickhouse_module.QUERY_THREADS, "each thread tries once at most"


async def test_the_freshness_is_looked_up_once_for_all_and_its_failure_kept(
    away: ClickHouse, attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse_module, "AWAY_SECONDS", 0.0)  # the reader's own memory alone
    reader = Reader(away, Freshness(1), QueryLimits(), Budget(1))
    first = await asyncio.gather(*(reader.complete_through_ms() for _ in range(READERS)), return_exceptions=True)
    again = await asyncio.gather(*(reader.complete_through_ms() for _ in range(READERS)), return_exceptions=True)
    assert {type(error) for error in first + again} == {ApiError}
    assert len(attempts) == 1


async def test_a_reader_that_gives_up_leaves_the_others_their_answer(away: ClickHouse, attempts: list[str]) -> None:
    reader = Reader(away, Freshness(1), QueryLimits(), Budget(1))
    impatient = asyncio.create_task(reader.complete_through_ms())
    patient = asyncio.create_task(reader.complete_through_ms())
    await asyncio.sleep(0)  # both have begun to wait
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    with pytest.raises(ApiError):
        await patient
    assert len(attempts) == 1


async def test_a_query_that_fails_leaves_the_others_alone(clickhouse: ClickHouse) -> None:
    # One that is wrong, and one that the server ends at its limit: neither says that the server is away.
    for sql in ("SELECT nonsense", "SELECT sleep(3) SETTINGS max_execution_time = 1"):
        with pytest.raises(ClickHouseError):
            await clickhouse.query(sql)
        assert await clickhouse.query("SELECT 1") == [(1,)]
