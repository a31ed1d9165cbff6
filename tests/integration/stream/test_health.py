"""Health answers of a worker."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
import stream_traffic
from stream_worker import produce, wait_until_processed

from pipeline.stream.health import HealthServer


@pytest.mark.parametrize(("stalled", "status"), [({}, 200), ({2: 130.4}, 503)])
async def test_healthz_is_503_for_a_stalled_worker(
    free_port: Callable[[], int], stalled: dict[int, float], status: int
) -> None:
    port = free_port()
    server = HealthServer("127.0.0.1", port, lambda: True, lambda: None, lambda: stalled)
    await server.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/healthz")
    finally:
        await server.stop()
    assert answer.status_code == status
    if stalled:
        assert answer.json() == {"status": "stalled", "partitions": {"2": 130.4}}


async def test_a_worker_that_works_is_alive_and_counts_repeats(make_site: Callable, free_port: Callable) -> None:
    port = free_port()
    site = make_site(stream_store="memory", worker_port=port, stall_seconds=1.0)
    worker = site.start_worker()
    messages = list(stream_traffic.packed(stream_traffic.events(500, 50, 7), 50, 4))
    await produce(site.settings, [*messages, messages[0]])
    await wait_until_processed(site.settings, worker)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        async with asyncio.timeout(20):
            while 'attrikit_stream_marks_total{mark="duplicate"}' not in (await client.get("/metrics")).text:
                await asyncio.sleep(0.1)
        answer = await client.get("/healthz")
    assert (answer.status_code, json.loads(answer.text)) == (200, {"status": "alive"})
    assert worker.stop(20) == 0
