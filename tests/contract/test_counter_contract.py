"""Contract of a counter, held against memory and a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from certificates import Authority
from redis_process import RedisServer

from services.web.quota.counters import Counter, LocalCounter
from services.web.quota.redis_counter import RedisCounter

PATIENT_SECONDS = 20.0


@pytest.fixture(params=["memory", "redis", "redis over tls"])
async def counters(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Counter]]:
    """Make counters that share their counts: one in memory, two on a Redis."""
    if request.param == "memory":
        made: list[Counter] = [LocalCounter()]
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        tls_url = f"{server.tls_url}?ssl_ca_certs={tmp_path / 'redis' / 'ca.pem'}"
        made = [RedisCounter(server.url if request.param == "redis" else tls_url, PATIENT_SECONDS) for _ in range(2)]
    yield made
    for counter in made:
        await counter.close()


async def test_every_request_gets_a_count_of_its_own(counters: list[Counter]) -> None:
    adds = [counters[i % len(counters)].add("requests/a/2026-01-01", 60) for i in range(400)]
    found = await asyncio.gather(*adds)
    assert sorted(count for count in found if count is not None) == list(range(1, 401))


async def test_names_are_counted_apart(counters: list[Counter]) -> None:
    assert [await counters[-1].add(name, 60) for name in ("a", "b", "a", "a", "b")] == [1, 1, 2, 3, 2]


async def test_a_counter_is_forgotten_when_it_is_of_no_more_use(counters: list[Counter]) -> None:
    assert await counters[0].add("a", 1) == 1

    async def begun_anew() -> None:
        while await counters[0].add("b", 60) and await counters[0].add("a", 1) != 1:
            await asyncio.sleep(0.05)

    await asyncio.wait_for(begun_anew(), 30)


async def test_a_redis_that_hangs_or_ends_costs_little_and_is_found_again(redis_server: RedisServer) -> None:
    counter = RedisCounter(redis_server.url, budget_seconds=0.2, probe_seconds=0.1)

    async def until_it_counts() -> int:
        while (count := await counter.add("a", 600)) is None:
            await asyncio.sleep(0.02)
        return count

    try:
        await until_it_counts()
        redis_server.freeze()
        assert [await counter.add("a", 600) for _ in range(3)] == [None] * 3
        assert counter.is_away
        # Nobody waits any more: at 0.2 s each this would take minutes.
        async with asyncio.timeout(20):
            assert [await counter.add("a", 600) for _ in range(1_000)] == [None] * 1_000
        redis_server.thaw()
        before = await asyncio.wait_for(until_it_counts(), 30)
        redis_server.kill()
        assert [await counter.add("a", 600) for _ in range(3)] == [None] * 3
        assert counter.is_away
        redis_server.start()
        assert await asyncio.wait_for(until_it_counts(), 30) <= before
    finally:
        await counter.close()


async def test_a_redis_whose_certificate_another_authority_signed_is_not_used(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "another authority")
    counter = RedisCounter(f"{redis_server.tls_url}?ssl_ca_certs={stranger.ca}", PATIENT_SECONDS)
    assert await counter.add("a", 60) is None
    await counter.close()


async def test_closing_ends_the_search_for_a_redis_that_is_away(redis_server: RedisServer) -> None:
    counter = RedisCounter(redis_server.url, budget_seconds=0.2)
    redis_server.kill()
    for _ in range(3):
        assert await counter.add("a", 60) is None
    await counter.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
