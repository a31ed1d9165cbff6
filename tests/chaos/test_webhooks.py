"""The dispatcher is killed again and again while it delivers. Nothing stays undelivered, and repeats carry the same id.

`ATTRIKIT_TEST_KILLS=20` kills it as often as that; the ordinary run is content with less.
"""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from webhook_process import DispatcherProcess
from webhook_world import Call, Desk, Receiver, publish, receiving, webhook_settings

from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.topics import Topic
from schemas.webhooks import EventType
from services.webhooks.payload import SOURCES

KILLS = int(os.environ.get("ATTRIKIT_TEST_KILLS", "3"))
CONVERSIONS_PER_KILL = 150
SETTLE_SECONDS = 180.0
FAILING_SHARE = 0.05

WANTED = {"/all": set(EventType), "/conversions": {EventType.CONVERSION_CREATED}}

pytestmark = pytest.mark.timeout(1500)


@pytest.mark.parametrize("broker_kind", ["noida", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_killed_under_load(broker_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Per topic and endpoint: what was published is what was delivered, each fact under one id, body and number."""
    bootstrap = request.getfixturevalue("broker" if broker_kind == "noida" else "kafka")
    # More delays than failures can come in a row, so that what is not delivered was lost.
    settings = webhook_settings(tmp_path, bootstrap, webhook_retry_seconds=",".join(["1"] * 30))
    await ensure_topics(settings)
    desk, random, total = Desk(settings), Random(1), KILLS * CONVERSIONS_PER_KILL
    accepted: Counter[str] = Counter()

    async def sometimes(call: Call) -> web.StreamResponse:
        await asyncio.sleep(random.random() * 0.02)  # a receiver takes now more time, now less
        if random.random() < FAILING_SHARE:
            return web.Response(status=500)
        accepted[call.id] += 1
        return web.Response()

    async with receiving() as receiver:
        for path, events in WANTED.items():
            receiver.answers[path] = sometimes
            desk.add(receiver.url(path), *events)
        dispatcher = DispatcherProcess(settings)
        dispatcher.launch()
        expected = total * sum(map(len, WANTED.values()))
        try:
            publishing = asyncio.create_task(publish_slowly(settings, desk, total))
            await kill_again_and_again(dispatcher, receiver)
            await publishing
            await receiver.until(lambda: len(accepted) >= expected, SETTLE_SECONDS)
        finally:
            await asyncio.to_thread(dispatcher.stop)
    for path, events in WANTED.items():
        calls = receiver.of(path)
        told: dict[str, set[tuple[str, int, bytes]]] = defaultdict(set)
        for call in calls:
            told[call.id].add((call.message["type"], call.message["sequence"], call.body))
        assert all(len(some) == 1 for some in told.values()), "a repeat has the same number and the same body"
        delivered = Counter(kind for some in told.values() for kind, _, _ in some)
        assert delivered == {event.value: total for event in events}, f"{path}: published = delivered, per topic"
        assert told.keys() <= accepted.keys()
        numbers = sorted(number for some in told.values() for _, number, _ in some)
        assert numbers == list(range(1, total * len(events) + 1)), f"{path}: each number once, none missing"
    repeats = accepted.total() - expected
    print(f"\n{broker_kind}: {KILLS} kills, {total} facts a topic, {len(receiver.calls)} calls, {repeats} repeats")


async def publish_slowly(settings: Settings, desk: Desk, total: int) -> None:
    """Records of 25 rows, of each topic in turn."""
    rows: dict[Topic, Callable[[int], Any]] = {
        Topic.CONVERSIONS: desk.conversion,
        Topic.ATTRIBUTIONS: desk.attribution,
        Topic.ALERTS: desk.alert,
    }
    assert set(rows) == set(SOURCES)
    for start in range(0, total, 25):
        for topic, row in rows.items():
            await publish(settings, topic, [row(n) for n in range(start, start + 25)])
        await asyncio.sleep(0.05)  # the pace of the load


async def kill_again_and_again(dispatcher: DispatcherProcess, receiver: Receiver) -> None:
    """Each time when it has delivered something since it was started."""
    random = Random(2)
    for _ in range(KILLS):
        seen = len(receiver.calls)
        await receiver.until(lambda seen=seen: len(receiver.calls) >= seen + random.randint(5, 60), 90.0)  # type: ignore[misc]
        dispatcher.kill()
        dispatcher.launch()
