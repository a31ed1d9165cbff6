"""The whole product under 150 events a second, with reads beside them: what its processes hold must stay the same.

`ATTRIKIT_TEST_SOAK_SECONDS` says how long (`make chaos`: 30 minutes; two of them show the worst). The first half is
warm-up, which may grow; over the second half memory, threads, open files and files on disk may grow by no more than
`BOUNDS` say, along the line with the median slope. The embedded broker holds its records in memory, up to a limit, so
its bound is that limit.
"""

import asyncio
import os
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from process_usage import Held, growth, held_by, processes_of, table

from deploy.demo.product import Product
from deploy.local import trim
from pipeline.readmodel.progress import open_reader, wait_until_settled

SECONDS = float(os.environ.get("ATTRIKIT_TEST_SOAK_SECONDS", "0"))
EVENTS_PER_SECOND = 150
BATCH_EVENTS = 15
WARM_UP_SHARE = 1 / 2
SAMPLE_SECONDS = 5.0
PERSONS = 5_000
READS = ("/v1/events", "/v1/users", "/v1/conversions", "/v1/attribution", "/v1/reports/performance")
BOUNDS = {"threads": 8.0, "handles": 60.0, "files": 2_000.0}
"""Growth after warm-up of a process; of memory see `memory_bound_mb`. Files are those of merges that run just then."""

pytestmark = [
    pytest.mark.timeout(SECONDS + 600),
    pytest.mark.skipif(not SECONDS, reason="ATTRIKIT_TEST_SOAK_SECONDS is not set; make chaos sets it"),
]


def memory_bound_mb(name: str, seconds: float) -> float:
    """Return by how many MB a process may grow: each person, session and block of a table costs something, so a worker
    and a store get a little for each minute.
    """
    per_minute = {"worker": 4.0, "store": 4.0}.get(name, 0.5)
    return 20.0 + per_minute * seconds / 60


def make_event(rng: random.Random, number: int) -> dict[str, Any]:
    person = rng.randrange(PERSONS)
    tag = "?utm_source=baidu&utm_medium=cpc" if number % 8 == 0 else ""
    event: dict[str, Any] = {
        "event_name": "page_view",
        "event_id": f"soak-{number}",
        "anonymous_id": f"visitor-{person}",
        "properties": {"page_url": f"https://shop.example.com/products/{rng.randrange(1_000)}{tag}"},
        "context": {"page": {"referrer": "https://www.baidu.com/"}},
    }
    if number % 10 == 0:
        event["user_id"] = f"user-{person}"
    if number % 33 == 0:
        event |= {"event_name": "purchase", "properties": {"revenue": 12.5, "order_id": f"order-{number}"}}
    return event


async def post_steadily(client: httpx.AsyncClient, seconds: float) -> int:
    rng, started, sent = random.Random(1), time.monotonic(), 0
    while (passed := time.monotonic() - started) < seconds:
        await asyncio.sleep(sent / EVENTS_PER_SECOND - passed)  # the pace of the load
        await _post(client, {"events": [make_event(rng, sent + n) for n in range(BATCH_EVENTS)]})
        sent += BATCH_EVENTS
    return sent


async def _post(client: httpx.AsyncClient, batch: dict[str, Any]) -> None:
    """Post, and again after an error of the server, for a minute: as the document tells clients to. On a machine with
    much else to do the broker may take longer than a publication may (2 s)."""
    async with asyncio.timeout(60):
        while (answer := await client.post("/v1/events/batch", json=batch)).status_code == 500:
            print(f"posted again: {answer.text}")
            await asyncio.sleep(float(answer.headers["retry-after"]))
    assert answer.status_code == 201, answer.text


async def read_now_and_then(client: httpx.AsyncClient) -> None:
    while True:
        for path in READS:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            await asyncio.sleep(1.0)  # the pace of the reads


async def sample(pids: dict[str, int], folder: Path, series: dict[str, list[Held]], times: list[float]) -> None:
    while True:
        held = {name: held_by(pid, folder if name == "launcher" else None) for name, pid in pids.items()}
        times.append(time.monotonic())
        for name, now in held.items():
            series[name].append(now)
        await asyncio.sleep(SAMPLE_SECONDS)


async def soak(product: Product) -> tuple[list[float], dict[str, list[Held]]]:
    series: dict[str, list[Held]] = defaultdict(list)
    times: list[float] = []
    pids = {"launcher": product.pid} | processes_of(product.pid)
    headers = {"Authorization": f"Bearer {product.key}"}
    async with httpx.AsyncClient(base_url=product.base_url, headers=headers, timeout=30.0, trust_env=False) as client:
        beside = [
            asyncio.create_task(read_now_and_then(client)),
            asyncio.create_task(sample(pids, product.data_dir, series, times)),
        ]
        try:
            sent = await post_steadily(client, SECONDS)
            for task in beside:
                assert not task.done() or task.result()
        finally:
            for task in beside:
                task.cancel()
    async with open_reader(product.settings) as reader:
        await wait_until_settled(reader, 120)
    print(f"\n{sent} events in {SECONDS:.0f} s\n{table(series)}")
    return times, series


def test_what_the_processes_hold_stays_the_same(tmp_path: Path) -> None:
    product = Product(tmp_path)
    try:
        product.start()
        times, series = asyncio.run(soak(product))
    finally:
        product.stop()
    begin = int(len(times) * WARM_UP_SHARE)
    seconds = times[-1] - times[begin]
    grown: dict[str, float] = {}
    for name, held in series.items():
        bounds = BOUNDS | {"memory_mb": memory_bound_mb(name, seconds)}
        if name == "broker":
            del bounds["memory_mb"]
        for what, bound in bounds.items():
            growing = growth(times[begin:], [getattr(h, what) for h in held[begin:]])
            print(f"{name:9} {what:10} grew by {growing:8.1f} of {bound:8.1f}")
            if growing > bound:
                grown[f"{name} {what}"] = growing
    assert grown == {}
    # It also holds the changelog of the stream's state, and takes as much again while it saves.
    assert max(held.memory_mb for held in series["broker"]) < 3 * trim.START_BYTES / 2**20
