"""Deliveries end to end, over a real broker and real sockets."""

import asyncio
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from webhook_world import Call, Desk, dispatching, informed, publish, receiving, webhook_settings

from pipeline.runtime import liveness
from schemas.topics import Topic
from schemas.webhooks import EventType
from services.web.operations import operations_app


async def test_every_fact_goes_to_whom_it_concerns(tmp_path: Path, broker: str) -> None:
    settings = webhook_settings(tmp_path, broker)
    desk = Desk(settings)
    async with receiving() as receiver:
        desk.add(receiver.url("/all"))
        desk.add(receiver.url("/conversions"), EventType.CONVERSION_CREATED)
        async with dispatching(settings):
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(n) for n in range(20)])
            await publish(settings, Topic.ATTRIBUTIONS, [desk.attribution(n) for n in range(20)])
            await publish(settings, Topic.ALERTS, [desk.alert(n) for n in range(20)], per_record=1)
            await receiver.until(lambda: len(receiver.of("/all")) >= 60 and len(receiver.of("/conversions")) >= 20)
        assert len(receiver.ids("/all")) == len(receiver.of("/all")) == 60
        assert len(receiver.ids("/conversions")) == len(receiver.of("/conversions")) == 20
        assert not receiver.ids("/all").keys() & receiver.ids("/conversions").keys()
        for path in ("/all", "/conversions"):
            numbers = sorted(call.message["sequence"] for call in receiver.of(path))
            assert numbers == list(range(1, len(numbers) + 1))


async def test_an_endpoint_that_is_removed_gets_nothing_more(tmp_path: Path, broker: str) -> None:
    """Nor what was waiting for it: one is under way, nineteen are behind it."""
    settings = webhook_settings(tmp_path, broker, webhook_timeout_seconds=60.0)
    release = asyncio.Event()

    async def hold(_call: Call) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    desk = Desk(settings)
    async with receiving() as receiver:
        receiver.answers["/removed"] = hold
        removed = desk.add(receiver.url("/removed"), EventType.CONVERSION_CREATED, max_concurrency=1)
        desk.add(receiver.url("/other"), EventType.CONVERSION_CREATED)
        async with dispatching(settings) as webhooks:
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(n) for n in range(20)])
            await receiver.until(lambda: bool(receiver.of("/removed")) and len(receiver.of("/other")) >= 20)
            desk.store.remove(removed.endpoint_id)
            await informed(webhooks)
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(20)])
            await receiver.until(lambda: len(receiver.of("/other")) >= 21)
            release.set()
            async with asyncio.timeout(20):
                while removed.endpoint_id in webhooks._dispatcher._queues:
                    await asyncio.sleep(0.02)
        assert len(receiver.of("/removed")) == 1


async def test_a_dispatcher_that_stands_still_is_not_alive(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "LOOK_SECONDS", 0.1)
    settings = webhook_settings(tmp_path, broker, stall_seconds=2.0)
    desk = Desk(settings)
    desk.add("http://127.0.0.1:9/", EventType.CONVERSION_CREATED)
    async with dispatching(settings) as webhooks:
        transport = httpx.ASGITransport(operations_app("webhooks", webhooks.missing, webhooks.stalled))
        async with httpx.AsyncClient(transport=transport, base_url="http://webhooks") as client:

            async def stalled() -> dict[str, float]:
                answer = await client.get("/healthz")
                assert answer.status_code in (200, 503)
                return answer.json()["error"]["details"]["stalled"] if answer.status_code == 503 else {}

            async with asyncio.timeout(30):
                while await stalled():
                    await asyncio.sleep(0.05)
            monkeypatch.setattr(webhooks._producer, "put", lambda *_: asyncio.Event().wait())
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(1)])
            async with asyncio.timeout(30):
                while "facts" not in await stalled():
                    await asyncio.sleep(0.05)
