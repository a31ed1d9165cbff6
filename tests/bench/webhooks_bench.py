"""The dispatcher: how many deliveries a second it makes, and how long a healthy endpoint waits while others are unwell.

Delays are from the conversion's record in Kafka to the call at the receiver. 10,000 conversions go to a healthy
receiver at a steady rate alone, and 10,000 while another endpoint hangs and a third answers 500 to everything. The two
take turns, a slice each, so that what the machine does meanwhile hits both alike; the percentiles are of all slices
together. A slice beside unwell endpoints begins when both have been called and deliveries that were put off come back,
and one alone when nothing of theirs is left. That takes about 20 s and 80 s; so there are four slices of each.

Throughput is measured with everything queued beforehand. The receivers are a process of their own, on the same cores.

On Apache Kafka where it can run: the small broker writes all it holds anew every second, and with three deliveries of
each conversion that soon is what is measured. `ATTRIKIT_BENCH_CONVERSIONS` (of each kind), `ATTRIKIT_BENCH_SLICE` and
`ATTRIKIT_BENCH_RATE` (a second) make it shorter or longer.
"""

import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from figures import Figure
from processes import Patience, cpu_seconds, metric, peak_memory_mb, running, running_broker

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from webhook_process import DispatcherProcess
from webhook_world import Desk, webhook_settings

from deploy.local.ports import free_port
from pipeline.runtime.kafka.clients import build_producer
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.facts import encode_rows
from schemas.topics import WEBHOOK_DELIVERIES_GROUP, WEBHOOK_RETRIES_GROUP, Topic
from schemas.webhooks import EventType

CONVERSIONS = int(os.environ.get("ATTRIKIT_BENCH_CONVERSIONS", "10000"))
SLICE = int(os.environ.get("ATTRIKIT_BENCH_SLICE", "2500"))
RATE_PER_SECOND = int(os.environ.get("ATTRIKIT_BENCH_RATE", "100"))
BURST = 20
THROUGHPUT = 10_000
PUT_OFF = 300
"""So many have come back: more than the retries of what was tried before the circuits opened."""
_READY_SECONDS = 60.0
_PATIENCE_SECONDS = 120.0


@contextmanager
def receivers(folder: Path) -> Iterator[str]:
    """A server: /hang… never answers, /fail… answers 500, anything else 200; GET / tells what came, and forgets it."""
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


class Load:
    """Conversions of one app, and what the receivers say of them."""

    def __init__(self, producer: AIOKafkaProducer, desk: Desk, url: str) -> None:
        self.called: Counter[str] = Counter()
        """Calls so far, by path."""
        self._producer = producer
        self._desk = desk
        self._url = url
        self._sent = 0
        self._ids: Counter[str] = Counter()

    async def send(self, count: int, rate: float | None = None) -> None:
        """`rate` per second, in records of `BURST` rows; None: all at once."""
        started = time.perf_counter()
        for number in range(-(-count // BURST)):
            if rate is not None:
                await asyncio.sleep(max(0.0, started + number * BURST / rate - time.perf_counter()))
            rows = [self._desk.conversion(self._sent + n) for n in range(min(BURST, count - number * BURST))]
            partition = self._sent // BURST % self._desk.settings.partitions
            await self._producer.send_and_wait(Topic.CONVERSIONS.value, encode_rows(rows), partition=partition)
            self._sent += len(rows)

    async def delivered(self, count: int) -> list[float]:
        """Send so many at the steady rate: the delay of each to /ok, in seconds."""
        await self.send(count, RATE_PER_SECOND)
        calls, patience = self.look(), Patience(_PATIENCE_SECONDS)
        while len(calls) < count:
            patience.look(f"{len(calls)} of {count} conversions delivered")
            await asyncio.sleep(0.2)
            calls += self.look()
        return [delay for _, delay in calls]

    def look(self) -> list[tuple[str, float]]:
        """(id, delay) of the calls at /ok since the last look."""
        found = seen(self._url)
        self.called.update({path: len(calls) for path, calls in found.items()})
        calls = found.get("/ok", [])
        self._ids.update(found_id for found_id, _ in calls)
        return calls

    def check_once(self) -> None:
        """Check that each conversion came to /ok once and once only."""
        self.look()
        assert len(self._ids) == self._sent, f"{len(self._ids)} of {self._sent} came"
        assert set(self._ids.values()) <= {1}, "some came more than once"


async def throughput(load: Load, dispatcher: DispatcherProcess) -> float:
    """Deliveries per second of one dispatcher to one endpoint, from the first look that finds any to the last."""
    dispatcher.stop()
    await load.send(THROUGHPUT)
    dispatcher.launch()
    count, before, started, patience = 0, 0, 0.0, Patience(_PATIENCE_SECONDS)
    while count < THROUGHPUT:
        patience.look(f"{count} of {THROUGHPUT} deliveries")
        await asyncio.sleep(0.05)
        found = len(load.look())
        count += found
        if found and not started:  # these came before the clock was started
            started, before = time.perf_counter(), found
    return (THROUGHPUT - before) / (time.perf_counter() - started)


@asynccontextmanager
async def two_unwell(load: Load, desk: Desk, url: str, dispatcher: DispatcherProcess) -> AsyncIterator[None]:
    """Endpoints that hang and fail, both new, and in the state they remain in: mostly put off, again and again."""
    paths = [f"/{kind}/{secrets.token_hex(4)}" for kind in ("hang", "fail")]
    endpoints = [desk.add(url + path, EventType.CONVERSION_CREATED) for path in paths]
    put_off, patience = _moved(dispatcher) + PUT_OFF, Patience(_PATIENCE_SECONDS)
    while not all(load.called[path] for path in paths) or _moved(dispatcher) < put_off:
        called = [path for path in paths if load.called[path]]
        patience.look(f"{called} called, {_moved(dispatcher):.0f} of {put_off:.0f} came back")
        await load.delivered(RATE_PER_SECOND)
    yield
    for endpoint in endpoints:
        desk.store.remove(endpoint.endpoint_id)


def _moved(dispatcher: DispatcherProcess) -> float:
    """Deliveries that have waited their time."""
    return metric(dispatcher.url, "attrikit_webhook_waiting_moved_total")


async def until_idle(settings: Settings) -> None:
    """Until nothing waits and nothing is to be delivered."""
    groups = (WEBHOOK_RETRIES_GROUP, WEBHOOK_DELIVERIES_GROUP)
    patience = Patience(_PATIENCE_SECONDS)
    while any(left := [await _records_left(settings, group) for group in groups]):
        patience.look(f"{left} records left")
        await asyncio.sleep(0.5)


async def _records_left(settings: Settings, group: str) -> int:
    """Behind what the group has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await consumer.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
        ends = await consumer.end_offsets(list(committed))
        return sum(ends[place] - max(0, at.offset) for place, at in committed.items())
    finally:
        await consumer.stop()
        await admin.close()


@dataclass
class Slices:
    """Measurements of one kind. `delays`: of /ok in seconds, slice by slice; `cpu_seconds`: of the dispatcher, all
    together.
    """

    delays: list[list[float]] = field(default_factory=list)
    cpu_seconds: float = 0.0

    async def add(self, load: Load, count: int, dispatcher: DispatcherProcess) -> None:
        before = cpu_seconds(dispatcher.child.pid)
        self.delays.append(await load.delivered(count))
        self.cpu_seconds += cpu_seconds(dispatcher.child.pid) - before

    def at(self, share: float) -> float:
        return _at(list(chain(*self.delays)), share)

    @property
    def median_p99(self) -> float:
        return median(_at(one, 0.99) for one in self.delays)

    @property
    def cpu_ms_per_conversion(self) -> float:
        return self.cpu_seconds * 1000 / sum(map(len, self.delays))


async def in_turns(load: Load, desk: Desk, url: str, dispatcher: DispatcherProcess) -> tuple[Slices, Slices]:
    """`CONVERSIONS` alone, and as many beside the unwell."""
    alone, beside = Slices(), Slices()
    for start in range(0, CONVERSIONS, SLICE):
        count = min(SLICE, CONVERSIONS - start)
        await until_idle(desk.settings)
        await alone.add(load, count, dispatcher)
        async with two_unwell(load, desk, url, dispatcher):
            await beside.add(load, count, dispatcher)
    return alone, beside


def _at(values: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] * 1000


async def _run(folder: Path) -> list[Figure]:
    with running_broker(folder, "best") as broker, receivers(folder) as url:
        # One delay: what fails is done with soon, and does not come back in a slice that is to be without it.
        settings = webhook_settings(folder / "data", broker.bootstrap, webhook_retry_seconds="5")
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        await ensure_topics(settings)
        desk = Desk(settings)
        desk.add(url + "/ok", EventType.CONVERSION_CREATED, max_concurrency=32)
        dispatcher = DispatcherProcess(settings)
        producer = build_producer(settings)
        await producer.start()
        load = Load(producer, desk, url)
        dispatcher.launch()
        try:
            dispatcher.wait_ready()
            rate = await throughput(load, dispatcher)
            memory_mb = peak_memory_mb(dispatcher.child.pid)
            alone, beside = await in_turns(load, desk, url, dispatcher)
        finally:
            dispatcher.stop()
            await producer.stop()
        load.check_once()
    name = f"healthy endpoint at {RATE_PER_SECOND}/s beside two unwell ones"
    return [
        Figure("webhooks, deliveries of one dispatcher", rate, "deliveries/s"),
        Figure(f"{name}, p50 of {CONVERSIONS}", beside.at(0.5), "ms", alone.at(0.5)),
        Figure(f"{name}, p99 of {CONVERSIONS}", beside.at(0.99), "ms", alone.at(0.99)),
        Figure(f"{name}, median slice's p99", beside.median_p99, "ms", alone.median_p99),
        Figure(
            "the same, dispatcher's processor time", beside.cpu_ms_per_conversion, "ms", alone.cpu_ms_per_conversion
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
        if request.path.startswith("/hang"):
            await asyncio.sleep(3600)  # an endpoint that never answers: the dispatcher gives up long before
        return web.Response(status=500 if request.path.startswith("/fail") else 200)

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
