"""Two gateway processes that share one Redis: a plan's limit holds exactly, and a Redis that is away refuses nobody."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from lean_http import Answer, Connection
from redis import Redis
from redis_process import RedisServer

from deploy.local.process import ChildProcess
from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.runtime.clock import now_ms
from schemas.control import App, Plan, Scope
from services.web.quota.rules import day_of

READY_SECONDS = 60.0
WAIT_SECONDS = 30.0
REQUESTS = 1_300
LIMIT = 1_000
CONNECTIONS = 64
TRACK, EVENT = "/v1/events/track", {"event_name": "page_view"}
DAY_MS = 86_400_000
LAST_MINUTES_MS = 3 * 60_000


class Gateways:
    def __init__(self, folder: Path, bootstrap: str, redis_url: str, ports: list[int], budget_seconds: float) -> None:
        dsn = f"sqlite:///{folder}/control.db"
        migrate_control_plane(dsn)
        plane = ControlPlane(dsn)
        plane.create_app(App("small", "Small", Plan.FREE), 0)
        self.keys = [plane.create_key("small", [Scope.WRITE], 0).secret for _ in range(2)]
        plane.close()
        self.ports = ports
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        given = {
            "DATA_DIR": folder,
            "KAFKA_BOOTSTRAP": bootstrap,
            "QUOTA_REDIS_URL": redis_url,
            "QUOTA_TIMEOUT_SECONDS": budget_seconds,
            "PUBLIC_METRICS": True,
        }
        own = {name: value for name, value in os.environ.items() if not name.startswith("ATTRIKIT_")}
        own |= {f"ATTRIKIT_{name}": str(value) for name, value in given.items()}
        argv = [sys.executable, "-P", "-m", "deploy.cli", "gateway"]
        self._processes = [
            ChildProcess("gateway", argv, folder / f"gateway{n}.log", environment=own | {"ATTRIKIT_PORT": str(port)})
            for n, port in enumerate(ports)
        ]

    def start(self) -> None:
        for process in self._processes:
            process.start()
        for process, url in zip(self._processes, self.urls, strict=True):
            process.wait_until(lambda url=url: self._is_ready(url), READY_SECONDS)

    def stop(self) -> None:
        for process in self._processes:
            process.stop(WAIT_SECONDS)

    def metric(self, name: str) -> float:
        """The sum over the gateways, and over its labels."""
        pages = [httpx.get(url + "/metrics", trust_env=False).text for url in self.urls]
        lines = [line for page in pages for line in page.splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def _is_ready(self, url: str) -> bool:
        try:
            return httpx.get(url + "/readyz", trust_env=False, timeout=5.0).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def start_gateways(
    tmp_path: Path, broker: str, redis_server: RedisServer, free_port: Callable[[], int]
) -> Iterator[Callable[[float], Gateways]]:
    if DAY_MS - now_ms() % DAY_MS < LAST_MINUTES_MS:
        pytest.skip("the UTC day is about to end, and a new one has a new limit")
    started: list[Gateways] = []

    def start(budget_seconds: float) -> Gateways:
        made = Gateways(tmp_path, broker, redis_server.url, [free_port(), free_port()], budget_seconds)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.stop()


class Load:
    """Requests over 64 connections to both gateways."""

    def __init__(self, gateways: Gateways, requests: Iterable[tuple[str, str, Any]]) -> None:
        """`requests`: key, path and body of each."""
        self._requests = iter(requests)
        self._ports = gateways.ports
        self.answers: list[Answer] = []

    async def run(self) -> list[Answer]:
        await asyncio.gather(*(self._use(Connection(self._ports[n % 2], "")) for n in range(CONNECTIONS)))
        return self.answers

    async def _use(self, connection: Connection) -> None:
        for key, path, body in self._requests:
            self.answers.append(await connection.post(path, body, key))
        connection.close()


async def test_exactly_as_many_requests_pass_as_the_plan_says(start_gateways: Callable[[float], Gateways]) -> None:
    """Two processes and two keys of one app, 64 connections, in any order; refused requests among good ones."""
    gateways = start_gateways(20.0)  # nothing is let through because a busy machine is slow
    random = Random(3)
    bodies = [("track", {"event_name": "page_view"}), ("batch", {"events": [{"event_name": "a"}] * 3}), ("track", {})]
    chosen = [(random.choice(gateways.keys), *random.choice(bodies)) for _ in range(REQUESTS)]
    answers = await Load(gateways, [(key, "/v1/events/" + path, body) for key, path, body in chosen]).run()

    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() == {201, 400, 429}, statuses
    assert statuses[201] + statuses[400] == LIMIT, statuses
    assert {answer.headers["ratelimit-limit"] for answer in answers} == {str(LIMIT)}
    remaining = [int(answer.headers["ratelimit-remaining"]) for answer in answers if answer.status != 429]
    assert sorted(remaining) == list(range(LIMIT))
    assert gateways.metric("attrikit_quota_refused_requests_total") == REQUESTS - LIMIT
    assert gateways.metric("attrikit_quota_uncounted_requests_total") == 0


async def test_a_redis_that_is_away_refuses_nobody_and_is_found_again(
    start_gateways: Callable[[float], Gateways], redis_server: RedisServer
) -> None:
    gateways = start_gateways(0.5)
    track = (gateways.keys[0], TRACK, EVENT)
    used_up = day_of(App("small", "", Plan.FREE), now_ms()).name
    with Redis.from_url(redis_server.url) as redis:
        redis.incrby(f"attrikit:{used_up}", LIMIT)

    async def until(status: int) -> None:
        """Both gateways answer so."""
        async with asyncio.timeout(WAIT_SECONDS):
            while {answer.status for answer in await Load(gateways, [track] * CONNECTIONS).run()} != {status}:
                await asyncio.sleep(0.05)

    await until(429)
    redis_server.kill()
    before = gateways.metric("attrikit_quota_uncounted_requests_total")
    answers = await Load(gateways, [track] * 400).run()
    assert {answer.status for answer in answers} == {201}
    assert all("ratelimit-limit" in answer.headers for answer in answers)
    assert gateways.metric("attrikit_quota_uncounted_requests_total") == before + 400
    assert gateways.metric("attrikit_quota_redis_up") == 0

    redis_server.start()
    async with asyncio.timeout(WAIT_SECONDS):
        while gateways.metric("attrikit_quota_redis_up") < 2:
            await asyncio.sleep(0.05)
    with Redis.from_url(redis_server.url) as redis:
        redis.incrby(f"attrikit:{used_up}", LIMIT)
    await until(429)
