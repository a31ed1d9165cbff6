"""Touch-heavy traffic end to end: ad clicks, each in a session of its own, with a purchase now and then.

This is what an attribution platform is for, and the dearest traffic there is: each event makes a session and a touch.
Event time runs over a month, so sessions close while the traffic goes on. Told are the events per second from the first
POST to the last row readable, and, as the steadier figure on a shared machine, the processor time that each process of
the product needs for an event.

Found with 42,000 events on two cores shared with other work (AMD EPYC), µs of processor per event, the loader with a
fixed 0.2 s between blocks and with pauses that grow with the inserts, one right after the other, twice: store 188 and
319 against 130 and 128, worker 136 and 175 against 137 and 135. Rates there were 1,900 to 3,300 events/s and tell of
the other work only; on the nearly idle machine, before all this: 6,500 events/s, store 109, worker 93,
broker 21, webhooks 15, gateway 7. Written per event: 1 row of events, 1 of touches (and its narrow twin), 1 of sessions
(and two copies), 0.05 of conversions and of attributions. An insert costs chDB 10 to 20 ms of processor even for one
row: in blocks of 1,300 events' rows the tables take 94 µs an event with merges, in blocks of 8,000 they take 37.

The goal is 15,000 events/s, which two cores allow at 133 µs an event in all. What the parts need at least, of ours and
of others, tell `domain` and `floor`. Two costs are no matter of events but of time, and so are larger per event the
slower it goes: the embedded broker's saves, which write all it holds about once a second (three quarters of it the
changelog; 41 of its 53 µs here), and the fetches of every consumer for each ring of a bell. States written per event:
1.57 while sessions that are over waited to be published, 1.07 since they are published with their group.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from end_to_end_bench import BATCH_EVENTS, CONNECTIONS, SETTLE_SECONDS, product
from figures import Figure
from http_load import request_bytes, run_load
from processes import cpu_seconds, processes_of

from pipeline.readmodel.progress import open_reader, wait_until_settled
from pipeline.runtime.clock import now_ms
from pipeline.runtime.settings import Settings
from schemas.events import AcceptedEvent

GOAL_US: Final = 133.0
"""Processor time in all at which two cores take 15,000 events/s; told as the baseline."""
CLICKS: Final = 100_000
PERSONS: Final = 22_000
PURCHASES: Final = 5_000
CAMPAIGNS: Final = 700
SPAN_MS: Final = 30 * 24 * 3_600_000


def requests(key: str, clicks: int, until_ms: int) -> list[bytes]:
    """Batches in the order of event time."""
    events = traffic(clicks)
    for event, at_ms in zip(events, times_ms(len(events), until_ms), strict=True):
        event["timestamp"] = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    path = "/v1/events/batch?results=errors"
    return [
        request_bytes(path, key, _encode({"events": events[start : start + BATCH_EVENTS]}))
        for start in range(0, len(events), BATCH_EVENTS)
    ]


def accepted(clicks: int, until_ms: int) -> list[AcceptedEvent]:
    """The same events as the gateway writes them, in one partition."""
    events = traffic(clicks)
    return [
        AcceptedEvent(
            app_id="demo",
            event_id=event["event_id"],
            event_name=event["event_name"],
            timestamp_ms=at_ms,
            received_us=until_ms * 1000,
            user_id=event["user_id"],
            properties=msgspec.Raw(_encode(event["properties"])),
            page_url=event["properties"].get("page_url", ""),
            ip="127.0.0.0",
            key_id="key_0123456789abcdef",
        )
        for event, at_ms in zip(events, times_ms(len(events), until_ms), strict=True)
    ]


def times_ms(count: int, until_ms: int) -> list[int]:
    return [until_ms - SPAN_MS + SPAN_MS * number // count for number in range(count)]


def traffic(clicks: int) -> list[dict[str, Any]]:
    """Clicks and purchases as a caller sends them, without their times."""
    rng = random.Random(5)
    purchases = clicks * PURCHASES // CLICKS
    persons = max(1, clicks * PERSONS // CLICKS)
    events = [_click(rng, number, rng.randrange(persons)) for number in range(clicks)]
    events += [_purchase(rng, number, rng.randrange(persons)) for number in range(purchases)]
    rng.shuffle(events)
    return events


def _click(rng: random.Random, number: int, person: int) -> dict[str, Any]:
    campaign = rng.randrange(CAMPAIGNS)
    return {
        "event_name": "ad_click",
        "event_id": f"click-{number}",
        "user_id": f"visitor-{person}",
        "properties": {
            "page_url": f"https://shop.example.com/landing/{campaign}",
            "utm_source": "baidu",
            "utm_medium": "cpc",
            "utm_campaign": f"campaign-{campaign}",
        },
    }


def _purchase(rng: random.Random, number: int, person: int) -> dict[str, Any]:
    return {
        "event_name": "purchase",
        "event_id": f"purchase-{number}",
        "user_id": f"visitor-{person}",
        "properties": {"order_id": f"order-{number}", "revenue": rng.randrange(1_000, 99_900) / 100, "currency": "CNY"},
    }


def _encode(value: object) -> bytes:
    return json.dumps(value).encode()


async def measure(settings: Settings, key: str, pids: dict[str, int], clicks: int) -> list[Figure]:
    made = requests(key, clicks, now_ms())
    events = clicks + clicks * PURCHASES // CLICKS
    async with open_reader(settings) as reader:
        await wait_until_settled(reader, SETTLE_SECONDS)
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        started = time.perf_counter()
        load = await run_load("127.0.0.1", settings.port, CONNECTIONS, lambda i: made[i], len(made))
        assert set(load.statuses) == {201}, load.statuses
        await wait_until_settled(reader, SETTLE_SECONDS, poll_seconds=0.1)
        seconds = time.perf_counter() - started
    used = {name: (cpu_seconds(pid) - before[name]) * 1e6 / events for name, pid in pids.items()}
    return [
        Figure("touches, first POST to last row readable", events / seconds, "events/s"),
        *(Figure(f"touches, processor time, {name}", value, "µs/event") for name, value in used.items()),
        Figure("touches, processor time, all", sum(used.values()), "µs/event", GOAL_US),
    ]


async def _run(clicks: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        async with product(Path(name)) as (child, settings, key):
            return await measure(settings, key, processes_of(child.pid), clicks)


def run() -> list[Figure]:
    return asyncio.run(_run(CLICKS))


if __name__ == "__main__":
    for figure in asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else CLICKS)):
        print(figure.json_line(), flush=True)
