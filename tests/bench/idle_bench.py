"""The product while nobody sends anything, and how soon it answers to the first event after a silence.

Told are the processor time of one health check of a container beside that of a command's start, the processor time of
each process, the launcher's too, in percent of one core over a minute, and the time from the POST of a single event to
the moment `GET /v1/events/{id}` answers with it, each after `SILENCE_SECONDS` without any event. Processor time tells
the same on a busy machine; the latency does not.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final
from uuid import uuid4

import httpx
from end_to_end_bench import SETTLE_SECONDS, product
from figures import Figure
from processes import cpu_seconds, processes_of

from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.settings import Settings

STARTED_SECONDS: Final = 15.0
"""What the start leaves behind, merges say, is over then."""
WINDOW_SECONDS: Final = 60.0
SILENCE_SECONDS: Final = 8.0
SAMPLES: Final = 12
_LOOK_SECONDS: Final = 0.01


async def usage(pids: dict[str, int], seconds: float) -> list[Figure]:
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - started
    used = {name: (cpu_seconds(pid) - before[name]) / passed * 100 for name, pid in pids.items()}
    return [
        *(Figure(f"idle, processor time, {name}", percent, "% of a core") for name, percent in used.items()),
        Figure("idle, processor time, all", sum(used.values()), "% of a core"),
    ]


async def latency_ms(client: httpx.AsyncClient) -> float:
    """From the POST of an event to the first answer with it."""
    event_id = uuid4().hex
    body = {"event_name": "page_view", "event_id": event_id, "user_id": event_id}
    started = time.perf_counter()
    answer = await client.post("/v1/events/track", content=json.dumps(body))
    assert answer.status_code == 201, answer.text
    async with asyncio.timeout(60):
        while (await client.get(f"/v1/events/{event_id}")).status_code != 200:
            await asyncio.sleep(_LOOK_SECONDS)
    return (time.perf_counter() - started) * 1000


async def latencies(settings: Settings, key: str) -> list[Figure]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    found = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}", headers=headers, timeout=30) as client:
        for _ in range(SAMPLES):
            await asyncio.sleep(SILENCE_SECONDS)
            found.append(await latency_ms(client))
    return [
        Figure("event to readable after a silence, p50", median(found), "ms"),
        Figure("event to readable after a silence, longest", max(found), "ms"),
    ]


async def _run(seconds: float) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        async with product(Path(name)) as (child, settings, key):
            async with open_reader(settings) as reader:
                await wait_until_settled(reader, SETTLE_SECONDS)
            await asyncio.sleep(STARTED_SECONDS)
            found = await usage({"launcher": child.pid} | processes_of(child.pid), seconds)
            return found + await latencies(settings, key)


def health_check() -> Figure:
    """The processor time of one health check (it fails here, which costs as much); the baseline: a command's start."""
    check, command = (
        _processor_ms([sys.executable, "-I", "-m", *arguments])
        for arguments in (["deploy.probe", "http://127.0.0.1:1/readyz"], ["deploy.cli", "--help"])
    )
    return Figure("a health check, processor time", check, "ms", baseline=command)


def _processor_ms(command: list[str]) -> float:
    """Processor time of the command on average, user and system, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(SAMPLES):
        subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / SAMPLES * 1000


def run() -> list[Figure]:
    return [health_check(), *asyncio.run(_run(WINDOW_SECONDS))]


if __name__ == "__main__":
    for figure in asyncio.run(_run(float(sys.argv[1]) if len(sys.argv) > 1 else WINDOW_SECONDS)):
        print(figure.json_line(), flush=True)
