"""The dispatcher is killed again and again while it delivers. Nothing stays undelivered, and repeats carry the same id.

`ATTRIKIT_TEST_KILLS=20` kills it as often as that; the ordinary run is content with less.
"""

import asyncio
import os
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from webhook_process import DispatcherProcess
from webhook_world import Call, Desk, Receiver, publish, receiving, webhook_settings

from pipeline.runtime.kafka import ensure_topics
from pipeline.runtime.settings import Settings
from schemas.topics import Topic
from schemas.webhooks import EventType

KILLS = int(os.environ.get("ATTRIKIT_TEST_KILLS", "3"))
CONVERSIONS_PER_KILL = 150
SETTLE_SECONDS = 180.0
FAILING_SHARE = 0.05

pytestmark = pytest.mark.timeout(1500)


@pytest.mark.parametrize("broker_kind", ["noida", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_killed_under_load(broker_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    bootstrap = request.getfixturevalue("broker" if broker_kind == "noida" else "kafka")
    # More rungs than failures can come in a row, so that what is not delivered was lost.
    settings = webhook_settings(tmp_path, bootstrap, webhook_retry_seconds=",".join(["1"] * 30))
    await ensure_topics(settings)
    desk, random, total = Desk(settings), Random(1), KILLS * CONVERSIONS_PER_KILL
    accepted: dict[str, list[Call]] = defaultdict(list)

    async def sometimes(call: Call) -> web.StreamResponse:
        await asyncio.sleep(random.random() * 0.02)  # a receiver takes now more time, now less
        if random.random() < FAILING_SHARE:
            return web.Response(status=500)
        accepted[call.message["data"]["conversion_id"]].append(call)
        return web.Response()

    async with receiving() as receiver:
        receiver.answers["/shop"] = sometimes
        desk.add(receiver.url("/shop"), EventType.CONVERSION_CREATED)
        dispatcher = DispatcherProcess(settings)
        dispatcher.launch()
        try:
            publishing = asyncio.create_task(publish_slowly(settings, desk, total))
            await kill_again_and_again(dispatcher, receiver, total)
            await publishing
            await receiver.until(lambda: len(accepted) >= total, SETTLE_SECONDS)
        finally:
            await asyncio.to_thread(dispatcher.stop)
    assert len(accepted) == total
    told: dict[str, set[tuple[str, bytes]]] = defaultdict(set)
    for call in receiver.calls:
        told[call.message["data"]["conversion_id"]].add((call.id, call.body))
    assert all(len(some) == 1 for some in told.values()), "a repeat carries the same id and the same body"
    repeats = sum(len(some) for some in accepted.values()) - total
    numbers = {call.message["sequence"] for call in receiver.calls}
    assert numbers == set(range(1, max(numbers) + 1)), "no number is missing"
    print(
        f"\n{broker_kind}: {KILLS} kills, {total} conversions, {len(receiver.calls)} calls, {repeats} repeats accepted"
    )


async def publish_slowly(settings: Settings, desk: Desk, total: int) -> None:
    """A record of 25 rows at a time."""
    for start in range(0, total, 25):
        await publish(settings, Topic.CONVERSIONS, [desk.conversion(n) for n in range(start, start + 25)])
        await asyncio.sleep(0.05)  # the pace of the load


async def kill_again_and_again(dispatcher: DispatcherProcess, receiver: Receiver, total: int) -> None:
    """Each time when it has delivered something since it was started."""
    random = Random(2)
    for _ in range(KILLS):
        seen = len(receiver.calls)
        await receiver.until(lambda seen=seen: len(receiver.calls) >= seen + random.randint(5, 60), 90.0)  # type: ignore[misc]
        dispatcher.kill()
        dispatcher.launch()
