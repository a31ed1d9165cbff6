"""Gateway: single events at 32 connections and batches of 500, against the idiomatic baseline in the same run.

Rounds of the two alternate, and the best round of each counts: on a shared machine the slower rounds measure the
neighbours. The load generator and the broker want the same two cores, so the processor time a request costs the gateway
itself stands beside the rates: it is the steadier figure. On the small broker, which takes the least of the two.
"""

import asyncio
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import baseline_gateway
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from figures import Figure
from http_load import LoadResult, request_bytes, run_load
from processes import READY_SECONDS, answers, cpu_seconds, peak_memory_mb, running, running_broker

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.runtime.clock import now_ms
from pipeline.runtime.control_plane import ControlPlane, migrate_control_plane
from pipeline.runtime.kafka import ensure_topics
from pipeline.runtime.settings import Settings
from schemas.control import App, Scope

SINGLE_CONNECTIONS = 32
SINGLE_REQUESTS = 12_000
BATCH_CONNECTIONS = 4
BATCH_REQUESTS = 240
BATCH_EVENTS = 500
ROUNDS = 3


def make_event(rng: random.Random, number: int) -> dict[str, object]:
    """About 350 bytes, as a page view of a shop is; one in eight arrives from an ad."""
    tag = "?utm_source=baidu&utm_medium=cpc" if number % 8 == 0 else ""
    return {
        "event_name": "page_view",
        "event_id": f"bench-{number}-{rng.getrandbits(32):08x}",
        "anonymous_id": f"visitor-{rng.randrange(20_000)}",
        "properties": {
            "page_title": "首页 - 商品列表",
            "page_url": f"https://shop.example.com/products/{rng.randrange(1000)}{tag}",
            "position": rng.randrange(50),
        },
        "context": {"page": {"referrer": "https://www.baidu.com/"}, "locale": "zh-CN"},
    }


def single_requests(key: str) -> Callable[[int], bytes]:
    rng = random.Random(1)
    bodies = [request_bytes("/v1/events/track", key, _encode(make_event(rng, i))) for i in range(5_000)]
    return lambda i: bodies[i % len(bodies)]


def batch_requests(key: str) -> Callable[[int], bytes]:
    rng = random.Random(2)
    batches = [{"events": [make_event(rng, b * 1000 + i) for i in range(BATCH_EVENTS)]} for b in range(20)]
    bodies = [request_bytes("/v1/events/batch", key, _encode(batch)) for batch in batches]
    return lambda i: bodies[i % len(bodies)]


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def prepare(settings: Settings) -> str:
    """Topics, control plane, an app; returns a key that may write and read."""
    asyncio.run(ensure_topics(settings))
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate_control_plane(settings.control_plane_dsn())
    plane = ControlPlane(settings.control_plane_dsn())
    plane.create_app(App("bench", "Bench"), now_ms())
    secret = plane.create_key("bench", [Scope.WRITE, Scope.READ], now_ms()).secret
    plane.close()
    asyncio.run(_create_baseline_topic(settings))
    return secret


async def _create_baseline_topic(settings: Settings) -> None:
    """As many partitions as `events` has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(baseline_gateway.TOPIC, settings.partitions, settings.replication_factor)])
    await admin.close()


@dataclass(frozen=True)
class Round:
    """One kind of load on one process; `cpu_us` is what an event has cost that process."""

    load: LoadResult
    cpu_us: float


def measure(process: ChildProcess, port: int, key: str) -> tuple[Round, Round]:
    single = _load(process, port, SINGLE_CONNECTIONS, single_requests(key), SINGLE_REQUESTS, 1)
    return single, _load(process, port, BATCH_CONNECTIONS, batch_requests(key), BATCH_REQUESTS, BATCH_EVENTS)


def _load(
    process: ChildProcess, port: int, connections: int, request: Callable[[int], bytes], count: int, events: int
) -> Round:
    before = cpu_seconds(process.pid)
    result = asyncio.run(run_load("127.0.0.1", port, connections, request, count))
    assert set(result.statuses) == {201}, result.statuses
    return Round(result, (cpu_seconds(process.pid) - before) / (count * events) * 1e6)


def fastest(rounds: list[Round]) -> LoadResult:
    return max((found.load for found in rounds), key=lambda load: load.requests_per_second)


def cheapest(rounds: list[Round]) -> float:
    return min(found.cpu_us for found in rounds)


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name)) as broker:
        folder = Path(name)
        settings = Settings(data_dir=folder, kafka_bootstrap=broker.bootstrap)
        key = prepare(settings)
        ports = {"gateway": free_port(), "baseline": free_port()}
        base = {"ATTRIKIT_DATA_DIR": name, "ATTRIKIT_KAFKA_BOOTSTRAP": broker.bootstrap}
        here = Path(__file__).parent
        gateway = running(
            "gateway", ["-m", "deploy.cli", "gateway"], base | {"ATTRIKIT_PORT": str(ports["gateway"])}, folder
        )
        baseline = running(
            "baseline", [str(here / "baseline_gateway.py")], base | {"ATTRIKIT_PORT": str(ports["baseline"])}, folder
        )
        with gateway as ours, baseline as theirs:
            ours.wait_until(lambda: answers(f"http://127.0.0.1:{ports['gateway']}/readyz"), READY_SECONDS)
            theirs.wait_until(lambda: answers(f"http://127.0.0.1:{ports['baseline']}/openapi.json"), READY_SECONDS)
            rounds = [
                (measure(ours, ports["gateway"], key), measure(theirs, ports["baseline"], baseline_gateway.KEY))
                for _ in range(ROUNDS)
            ]
            memory = peak_memory_mb(ours.pid)
    return _figures(rounds, memory)


def _figures(rounds: list[tuple[tuple[Round, Round], tuple[Round, Round]]], memory: float) -> list[Figure]:
    singles, batches = [ours[0] for ours, _ in rounds], [ours[1] for ours, _ in rounds]
    base_singles, base_batches = [theirs[0] for _, theirs in rounds], [theirs[1] for _, theirs in rounds]
    single, batch, base_single, base_batch = map(fastest, (singles, batches, base_singles, base_batches))
    return [
        Figure(
            "gateway, single events, 32 connections",
            single.requests_per_second,
            "requests/s",
            base_single.requests_per_second,
        ),
        Figure("gateway, single events, p99", single.percentile_ms(99), "ms", base_single.percentile_ms(99)),
        Figure("gateway, single events, processor time", cheapest(singles), "us/event", cheapest(base_singles)),
        Figure(
            "gateway, batches of 500",
            batch.requests_per_second * BATCH_EVENTS,
            "events/s",
            base_batch.requests_per_second * BATCH_EVENTS,
        ),
        Figure("gateway, batches of 500, p99", batch.percentile_ms(99), "ms", base_batch.percentile_ms(99)),
        Figure("gateway, batches of 500, processor time", cheapest(batches), "us/event", cheapest(base_batches)),
        Figure("gateway, peak memory", memory, "MB"),
    ]


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
