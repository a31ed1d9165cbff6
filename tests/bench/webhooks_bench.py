"""The dispatcher: how many deliveries a second it makes, and how long a healthy endpoint waits while others are unwell.

Delays are from the conversion's record in Kafka to the call at the receiver. 10,000 conversions go to a healthy
receiver at a steady rate: first alone, then while another endpoint hangs and a third answers 500 to everything.
Throughput is measured with everything queued beforehand. The receivers are a process of their own, on the same cores.

On Apache Kafka where it can run: the small broker writes all it holds anew every second, and with three deliveries of
each conversion that soon is what is measured. `ATTRIKIT_BENCH_CONVERSIONS` makes it shorter or longer.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from figures import Figure
from processes import peak_memory_mb, running, running_broker

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from webhook_process import DispatcherProcess
from webhook_world import Desk, webhook_settings

from deploy.local.ports import free_port
from pipeline.runtime.kafka import build_producer, ensure_topics
from pipeline.runtime.settings import Settings
from schemas.facts import encode_rows
from schemas.topics import Topic
from schemas.webhooks import EventType

CONVERSIONS = int(os.environ.get("ATTRIKIT_BENCH_CONVERSIONS", "10000"))
RATE_PER_SECOND = 100
BURST = 20
THROUGHPUT = 10_000
_READY_SECONDS = 60.0


@contextmanager
def receivers(folder: Path) -> Iterator[str]:
    """A server: /hang never answers, /fail answers 500, anything else 200; GET / tells what came, and forgets it."""
    port = free_port()
    with running("receivers", [__file__, str(port)], {}, folder) as child:
        child.wait_until(lambda: _answers(port), _READY_SECONDS)
        yield f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def seen(url: str) -> dict[str, list[tuple[str, float]]]:
    """Path → (id, delay in seconds) of each call since the last time."""
    found: dict[str, list[tuple[str, float]]] = httpx.get(url + "/", trust_env=False, timeout=30).json()
    return found


async def publish(settings: Settings, desk: Desk, count: int, rate: float | None, first: int) -> None:
    """`rate` per second, in records of `BURST` rows; None: all at once."""
    producer = build_producer(settings)
    await producer.start()
    started = time.perf_counter()
    for number, start in enumerate(range(first, first + count, BURST)):
        if rate is not None:
            await asyncio.sleep(max(0.0, started + number * BURST / rate - time.perf_counter()))
        rows = [desk.conversion(n) for n in range(start, start + BURST)]
        await producer.send_and_wait(Topic.CONVERSIONS.value, encode_rows(rows), partition=number % settings.partitions)
    await producer.stop()


async def delays(settings: Settings, desk: Desk, url: str, first: int) -> list[float]:
    """Of `CONVERSIONS` to /ok, in order; each must come exactly once."""
    seen(url)
    await publish(settings, desk, CONVERSIONS, RATE_PER_SECOND, first)
    calls: list[tuple[str, float]] = []
    deadline = time.monotonic() + 120
    while len(calls) < CONVERSIONS and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        calls += seen(url).get("/ok", [])
    assert len(calls) == len({found for found, _ in calls}) == CONVERSIONS, len(calls)
    return sorted(delay for _, delay in calls)


async def throughput(settings: Settings, desk: Desk, url: str, dispatcher: DispatcherProcess) -> float:
    """Deliveries per second of one dispatcher to one endpoint, from the first call to the last."""
    dispatcher.stop()
    await publish(settings, desk, THROUGHPUT, None, 5_000_000)
    seen(url)
    dispatcher.launch()
    count, started = 0, 0.0
    while count < THROUGHPUT:
        await asyncio.sleep(0.05)
        found = len(seen(url).get("/ok", []))
        started = started or (time.perf_counter() if found else 0.0)
        count += found
    return THROUGHPUT / (time.perf_counter() - started)


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] * 1000


async def _run(folder: Path) -> list[Figure]:
    with running_broker(folder, "best") as broker, receivers(folder) as url:
        settings = webhook_settings(folder / "data", broker.bootstrap, webhook_retry_seconds="5,300,1800")
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        await ensure_topics(settings)
        desk = Desk(settings)
        desk.add(url + "/ok", EventType.CONVERSION_CREATED, max_concurrency=32)
        dispatcher = DispatcherProcess(settings)
        dispatcher.launch()
        dispatcher.wait_ready()
        try:
            rate = await throughput(settings, desk, url, dispatcher)
            memory_mb = peak_memory_mb(dispatcher.child.pid)
            alone = await delays(settings, desk, url, 0)
            for path in ("/hang", "/fail"):
                desk.add(url + path, EventType.CONVERSION_CREATED)
            await asyncio.sleep(2)
            crowded = await delays(settings, desk, url, 1_000_000)
        finally:
            dispatcher.stop()
    beside = f"healthy endpoint at {RATE_PER_SECOND}/s beside two unwell ones"
    return [
        Figure("webhooks, deliveries of one dispatcher", rate, "deliveries/s"),
        Figure(
            f"{beside}, p50",
            _at(crowded, 0.5),
            "ms",
            _at(alone, 0.5),
        ),
        Figure(
            f"{beside}, p99",
            _at(crowded, 0.99),
            "ms",
            _at(alone, 0.99),
        ),
        Figure("webhooks, peak memory of the dispatcher", memory_mb, "MB"),
    ]


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        return asyncio.run(_run(Path(name)))


# The receivers


def _serve(port: int) -> None:
    from aiohttp import web

    calls: dict[str, list[tuple[str, float]]] = {}

    async def tell(_request: web.Request) -> web.Response:
        found = dict(calls)
        calls.clear()
        return web.Response(text=json.dumps(found), content_type="application/json")

    async def take(request: web.Request) -> web.Response:
        now = time.time()
        message: dict[str, Any] = json.loads(await request.read())
        made = time.mktime(time.strptime(message["created_at"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        delay = now - made - int(message["created_at"][20:23]) / 1000
        calls.setdefault(request.path, []).append((message["id"], delay))
        if request.path == "/hang":
            await asyncio.sleep(3600)
        return web.Response(status=500 if request.path == "/fail" else 200)

    app = web.Application()
    app.router.add_get("/", tell)
    app.router.add_post("/{path:.*}", take)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _serve(int(sys.argv[1]))
    else:
        for figure in run():
            print(figure.json_line(), flush=True)
