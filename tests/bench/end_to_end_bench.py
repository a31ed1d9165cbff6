"""The whole product on one machine: from the first POST to the last row readable in ClickHouse.

Throughput first, with as much as it takes; then latency at half of that rate: from the moment an event is sent to the
moment `GET /v1/events/{id}` answers with it.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
from figures import Figure
from gateway_bench import make_event
from http_load import request_bytes, run_load
from processes import peak_memory_mb

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.settings import Settings

BATCH_EVENTS = 200
CONNECTIONS = 4
THROUGHPUT_EVENTS = 200_000
LATENCY_SECONDS = 15.0
LATENCY_SAMPLES = 30
SETTLE_SECONDS = 300.0


@asynccontextmanager
async def product(folder: Path) -> AsyncIterator[tuple[ChildProcess, Settings, str]]:
    """`attrikit up` in `folder`: its process, the settings to reach its parts with, and the demo key."""
    port = free_port()
    argv = [sys.executable, "-m", "deploy.cli", "up", "--port", str(port), "--data", str(folder / "data")]
    child = ChildProcess("up", argv, folder / "up.log")
    child.start()
    try:
        child.wait_until(lambda: "ready" in child.log_tail(), 120)
        yield child, _settings(folder, port, child), (folder / "data" / "demo-key").read_text().strip()
    finally:
        child.stop(60)


def _settings(folder: Path, port: int, child: ChildProcess) -> Settings:
    broker = next(line for line in (folder / "up.log").read_text().splitlines() if line.startswith("broker"))
    return Settings(data_dir=folder / "data", port=port, kafka_bootstrap=broker.rsplit(", ", 1)[1].strip())


def batches(rng: random.Random, key: str, count: int) -> list[tuple[bytes, str]]:
    """HTTP requests of `BATCH_EVENTS` events each, with the id of the last event."""
    made = []
    for number in range(count):
        events = [make_event(rng, number * BATCH_EVENTS + i) for i in range(BATCH_EVENTS)]
        body = json.dumps({"events": events}, ensure_ascii=False).encode()
        made.append((request_bytes("/v1/events/batch?results=errors", key, body), str(events[-1]["event_id"])))
    return made


async def throughput(settings: Settings, key: str) -> float:
    """Events per second from the first POST to the last row readable."""
    requests = batches(random.Random(3), key, THROUGHPUT_EVENTS // BATCH_EVENTS)
    async with open_reader(settings) as reader:
        await wait_until_settled(reader, SETTLE_SECONDS)
        started = time.perf_counter()
        load = await run_load("127.0.0.1", settings.port, CONNECTIONS, lambda i: requests[i][0], len(requests))
        assert set(load.statuses) == {201}, load.statuses
        await wait_until_settled(reader, SETTLE_SECONDS, poll_seconds=0.1)
        seconds = time.perf_counter() - started
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}") as client:
        await _wait_readable(client, key, requests[-1][1])
    return THROUGHPUT_EVENTS / seconds


async def latencies_ms(settings: Settings, key: str, events_per_second: float) -> list[float]:
    """Sent-to-readable times of sampled events while the given rate goes through."""
    interval = BATCH_EVENTS / events_per_second
    requests = batches(random.Random(4), key, int(LATENCY_SECONDS / interval) + 1)
    every = max(1, len(requests) // LATENCY_SAMPLES)
    found: list[float] = []
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}", timeout=30) as client:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, (request, event_id) in enumerate(requests):
                await asyncio.sleep(max(0.0, started + number * interval - time.perf_counter()))
                body = request.split(b"\r\n\r\n", 1)[1]
                sampled = event_id if number % every == 0 else None
                group.create_task(_send_and_time(client, headers, body, sampled, found))
    return found


async def _send_and_time(
    client: httpx.AsyncClient, headers: dict[str, str], body: bytes, sampled: str | None, found: list[float]
) -> None:
    sent = time.perf_counter()
    answer = await client.post("/v1/events/batch?results=errors", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    if sampled is not None:
        await _wait_readable(client, headers["Authorization"].removeprefix("Bearer "), sampled)
        found.append((time.perf_counter() - sent) * 1000)


async def _wait_readable(client: httpx.AsyncClient, key: str, event_id: str) -> None:
    async with asyncio.timeout(60):
        while True:
            answer = await client.get(f"/v1/events/{event_id}", headers={"Authorization": f"Bearer {key}"})
            if answer.status_code == 200:
                return
            assert answer.status_code == 404, answer.text
            await asyncio.sleep(0.05)


def memory_figures(child: ChildProcess) -> list[Figure]:
    """Peak memory of every process of the product."""
    names = ("gateway", "worker", "store", "noida-db")
    processes = psutil.Process(child.pid).children(recursive=True)
    found = []
    for name in names:
        pids = [p.pid for p in processes if name in " ".join(p.cmdline())]
        found += [Figure(f"end to end, peak memory, {name}", peak_memory_mb(pid), "MB") for pid in pids[:1]]
    return found


async def _run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        async with product(Path(name)) as (child, settings, key):
            rate = await throughput(settings, key)
            found = sorted(await latencies_ms(settings, key, rate / 2))
            return [
                Figure("end to end, first POST to last row readable", rate, "events/s"),
                Figure("event to readable at half load, p50", found[len(found) // 2], "ms"),
                Figure("event to readable at half load, p99", found[int(len(found) * 0.99)], "ms"),
                *memory_figures(child),
            ]


def run() -> list[Figure]:
    return asyncio.run(_run())


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
