"""Gateway: single events at 32 connections and batches of 500, against the idiomatic baseline in the same run.

The two take turns, each kind of load right after the other's and every round in the other order, and of every figure
the round with the median ratio is told: on a shared machine single rounds measure the neighbours, but they press on
both. Before the first round both are warmed up. On the small broker, which takes the least of the two.

Both get the same load from the same generator: bodies made beforehand but for a number in each id, so that no id comes
twice; raw sockets, nothing decoded of the answers but status and length. What a request costs the gateway in processor
time stands beside the rates, as the steadier figure, and so does what it costs the generator and the broker, who share
the machine: where they need more than a core, or more than the gateway, the rate is theirs.
"""

import asyncio
import json
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import baseline_gateway
import uvloop
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from figures import Figure
from http_load import LoadResult, request_bytes, run_load
from processes import READY_SECONDS, answers, cpu_seconds, peak_memory_mb, running, running_broker

from deploy.local.ports import free_port
from deploy.local.process import ChildProcess
from pipeline.control import ControlPlane, migrate_control_plane
from pipeline.runtime.clock import now_ms
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.control import App, Scope

BATCH_EVENTS = 500
ROUNDS = 5
"""Odd, so that one is the median."""
turns = count()
"""The numbers of all requests."""


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
    return lambda i: with_new_ids(bodies[i % len(bodies)])


def batch_requests(key: str) -> Callable[[int], bytes]:
    rng = random.Random(2)
    batches = [{"events": [make_event(rng, b * 1000 + i) for i in range(BATCH_EVENTS)]} for b in range(20)]
    bodies = [request_bytes("/v1/events/batch", key, _encode(batch)) for batch in batches]
    return lambda i: with_new_ids(bodies[i % len(bodies)])


def with_new_ids(request: bytes) -> bytes:
    return request.replace(b'"bench-', b'"%05x-' % next(turns))


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
    """Create the topic of the baseline, with as many partitions as `events` has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(baseline_gateway.TOPIC, settings.partitions, settings.replication_factor)])
    await admin.close()


@dataclass(frozen=True)
class Kind:
    """A kind of load. `requests`: so many a round for the gateway and the baseline, a good second for each."""

    name: str
    connections: int
    events: int
    make_requests: Callable[[str], Callable[[int], bytes]]
    requests: tuple[int, int]


KINDS = (
    Kind("single events, 32 connections", 32, 1, single_requests, (8_000, 3_000)),
    Kind("batches of 500", 4, BATCH_EVENTS, batch_requests, (300, 80)),
)


@dataclass(frozen=True)
class Target:
    """A process under load. `index`: its place in `Kind.requests`."""

    process: ChildProcess
    port: int
    key: str
    index: int


@dataclass(frozen=True)
class Round:
    """One kind of load on one process; `_us` is what an event has cost whom in processor time."""

    load: LoadResult
    events: int
    server_us: float
    client_us: float
    broker_us: float

    @property
    def rate(self) -> float:
        return self.load.requests_per_second * self.events

    @property
    def p99_ms(self) -> float:
        return self.load.percentile_ms(99)


Pair = tuple[Round, Round]
"""Ours and the baseline's, one right after the other."""


def measure(kind: Kind, target: Target, broker: ChildProcess, share: float = 1.0) -> Round:
    """`share`: of the requests of a round."""
    request = kind.make_requests(target.key)
    count = round(kind.requests[target.index] * share)
    pids = (target.process.pid, os.getpid(), broker.pid)
    before = [cpu_seconds(pid) for pid in pids]
    load = uvloop.run(run_load("127.0.0.1", target.port, kind.connections, request, count))
    assert set(load.statuses) == {201}, load.statuses
    costs = [cpu_seconds(pid) - spent for pid, spent in zip(pids, before, strict=True)]
    server_us, client_us, broker_us = (cost / (count * kind.events) * 1e6 for cost in costs)
    return Round(load, kind.events, server_us, client_us, broker_us)


def measure_pairs(kind: Kind, ours: Target, theirs: Target, broker: ChildProcess) -> list[Pair]:
    for target in (ours, theirs):
        measure(kind, target, broker, share=0.1)
    pairs: list[Pair] = []
    for number in range(ROUNDS):
        turns = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        first, second = (measure(kind, target, broker) for target in turns)
        pairs.append((first, second) if number % 2 == 0 else (second, first))
    return pairs


def typical(pairs: list[Pair], figure: Callable[[Round], float]) -> Pair:
    """The pair whose ratio of this figure is the median."""
    return sorted(pairs, key=lambda pair: figure(pair[0]) / figure(pair[1]))[len(pairs) // 2]


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, running_broker(Path(name)) as broker:
        folder = Path(name)
        settings = Settings(data_dir=folder, kafka_bootstrap=broker.bootstrap)
        key = prepare(settings)
        ports = (free_port(), free_port())
        base = {"ATTRIKIT_DATA_DIR": name, "ATTRIKIT_KAFKA_BOOTSTRAP": broker.bootstrap}
        scripts = (["-m", "deploy.cli", "gateway"], [str(Path(__file__).parent / "baseline_gateway.py")])
        gateway, baseline = (
            running(name, script, base | {"ATTRIKIT_PORT": str(port)}, folder)
            for name, script, port in zip(("gateway", "baseline"), scripts, ports, strict=True)
        )
        with gateway as ours, baseline as theirs:
            ours.wait_until(lambda: answers(f"http://127.0.0.1:{ports[0]}/readyz"), READY_SECONDS)
            theirs.wait_until(lambda: answers(f"http://127.0.0.1:{ports[1]}/openapi.json"), READY_SECONDS)
            targets = Target(ours, ports[0], key, 0), Target(theirs, ports[1], baseline_gateway.KEY, 1)
            figures = [
                figure for kind in KINDS for figure in _figures(kind, measure_pairs(kind, *targets, broker.process))
            ]
            return [*figures, Figure("gateway, peak memory", peak_memory_mb(ours.pid), "MB")]


def _figures(kind: Kind, pairs: list[Pair]) -> list[Figure]:
    columns: list[tuple[str, str, Callable[[Round], float]]] = [
        ("", "requests/s" if kind.events == 1 else "events/s", lambda one: one.rate),
        (", p99", "ms", lambda one: one.p99_ms),
        (", processor time", "us/event", lambda one: one.server_us),
    ]
    figures = []
    for what, unit, figure in columns:
        ours, theirs = typical(pairs, figure)
        figures.append(Figure(f"gateway, {kind.name}{what}", figure(ours), unit, figure(theirs)))
    ours, theirs = typical(pairs, lambda one: one.server_us)
    beside = {"load generator": (ours.client_us, theirs.client_us), "broker": (ours.broker_us, theirs.broker_us)}
    figures += [
        Figure(f"gateway, {kind.name}, {who}'s processor time", mine, "us/event", its)
        for who, (mine, its) in beside.items()
    ]
    return figures


if __name__ == "__main__":
    for figure in run():
        print(figure.json_line(), flush=True)
