"""Deliveries to failing receivers: the schedule for real (shortened), pauses, rotation, order, isolation."""

import asyncio
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from webhook_world import SECRET, Call, Desk, answer, dispatching, informed, publish, receiving, webhook_settings

from pipeline.runtime.clock import now_ms
from schemas.topics import Topic
from schemas.webhooks import EndpointState, EventType
from services.webhook_calls.signature import body_signature, format_secret
from services.webhooks.metrics import ATTEMPTS

CONVERSIONS = EventType.CONVERSION_CREATED
OTHER_SECRET = format_secret(b"another secret, 24 bytes")


async def test_the_retry_schedule_for_real(tmp_path: Path, broker: str) -> None:
    """Three delays of a second: four attempts with one id and one body each, over a restart; then the endpoint has had
    its chances. Another that asks for time gets it; one that comes to its senses is content with that."""
    settings = webhook_settings(tmp_path, broker)
    desk = Desk(settings)
    async with receiving() as receiver:
        calls_until_fine = 2
        receiver.answers["/never"] = answer(500)
        receiver.answers["/later"] = answer(503, **{"Retry-After": "3"})

        async def come_to_senses(_call: Call) -> web.StreamResponse:
            return web.Response(status=200 if len(receiver.of("/recovers")) > calls_until_fine else 500)

        receiver.answers["/recovers"] = come_to_senses
        for path in ("/never", "/later", "/recovers"):
            desk.add(receiver.url(path), CONVERSIONS)
        async with dispatching(settings):
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(1)])
            await receiver.until(lambda: len(receiver.of("/never")) >= 2)
        seen = len(receiver.of("/never"))
        async with dispatching(settings):
            await receiver.until(lambda: len(receiver.of("/never")) >= 4 and len(receiver.of("/later")) >= 2)
            await receiver.until(lambda: len(receiver.of("/recovers")) >= 3)
            await asyncio.sleep(2.5)  # longer than any delay: nothing more may come
        never = receiver.of("/never")
        assert seen < 4, "the restart came in between"
        assert len(never) == 4
        assert len({call.id for call in never}) == len({call.body for call in never}) == 1
        assert len({call.headers["webhook-timestamp"] for call in never}) > 1, "each attempt is signed anew"
        for one, next_one in pairwise(never):
            assert next_one.at - one.at >= 0.8
        later = receiver.of("/later")
        assert later[1].at - later[0].at >= 3.0
        assert len(receiver.of("/recovers")) == 3


async def test_gone_disables_at_once_and_a_pause_holds_back(tmp_path: Path, broker: str) -> None:
    settings = webhook_settings(tmp_path, broker)
    desk = Desk(settings)
    async with receiving() as receiver:
        receiver.answers["/gone"] = answer(410)
        gone, paused = desk.add(receiver.url("/gone"), CONVERSIONS), desk.add(receiver.url("/paused"), CONVERSIONS)
        desk.add(receiver.url("/alerts"), EventType.THRESHOLD_ALERT)
        desk.store.set_state(paused.endpoint_id, EndpointState.PAUSED, now_ms())
        before = skipped()
        async with dispatching(settings) as webhooks:
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(1)])
            await receiver.until(lambda: bool(receiver.of("/alerts")))
            await until(lambda: desk.find(gone).state is EndpointState.DISABLED)
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(2)])
            await until(lambda: skipped() == before + 3)
            desk.store.set_state(paused.endpoint_id, EndpointState.ACTIVE, now_ms())
            desk.store.set_state(gone.endpoint_id, EndpointState.ACTIVE, now_ms())
            receiver.answers["/gone"] = answer(200)
            await informed(webhooks)
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(3)])
            await receiver.until(lambda: bool(receiver.of("/paused")) and len(receiver.of("/gone")) >= 2)
        assert desk.find(gone).state_reason == ""
        assert [call.message["data"]["conversion_id"] for call in receiver.of("/paused")] == ["cnv_00000003"]
        told = [call.message["data"]["conversion_id"] for call in receiver.of("/gone")]
        assert told == ["cnv_00000001", "cnv_00000003"]
        (alert,) = receiver.of("/alerts")
        assert alert.message["type"] == "threshold.alert"
        assert alert.message["data"]["subject"] == gone.endpoint_id


async def test_a_receiver_may_change_its_secret_at_any_moment_of_a_rotation(tmp_path: Path, broker: str) -> None:
    """It verifies by the document's header alone, with whichever secret it has; no delivery is lost."""
    settings = webhook_settings(tmp_path, broker)
    desk = Desk(settings)
    async with receiving() as receiver:
        secret = SECRET
        accepted: list[Call] = []

        async def verify(call: Call) -> web.StreamResponse:
            if call.headers["x-attrikit-signature"] != body_signature(secret, call.body):
                return web.Response(status=401)
            accepted.append(call)
            return web.Response()

        receiver.answers["/shop"] = verify
        endpoint = desk.add(receiver.url("/shop"), CONVERSIONS)
        async with dispatching(settings) as webhooks:
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(1)])
            await receiver.until(lambda: len(accepted) == 1)
            desk.store.rotate(endpoint.endpoint_id, desk.box.lock(OTHER_SECRET), now_ms() + 60_000, now_ms())
            await informed(webhooks)
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(2)])
            await receiver.until(lambda: len(accepted) == 2)
            assert len(receiver.calls) == 2, "the receiver's old secret was used"
            secret = OTHER_SECRET
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(n) for n in (3, 4)])
            await receiver.until(lambda: len({call.id for call in accepted}) == 4)
        last = accepted[-1]
        for valid in (SECRET, OTHER_SECRET):
            Webhook(valid).verify(last.body, last.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(format_secret(b"a third secret, 24 bytes")).verify(last.body, last.headers)


async def test_a_person_s_deliveries_come_in_order_and_nobody_waits_for_a_slow_one(tmp_path: Path, broker: str) -> None:
    settings = webhook_settings(tmp_path, broker)
    desk = Desk(settings)
    random = Random(1)

    async def sometime(_call: Call) -> web.StreamResponse:
        await asyncio.sleep(random.random() * 0.02)  # a receiver takes now more time, now less
        return web.Response()

    async with receiving() as receiver:
        receiver.answers["/shop"] = sometime
        desk.add(receiver.url("/shop"), EventType.ATTRIBUTION_COMPLETED)
        # One partition, as the stream writes the rows of one person.
        rows = [desk.attribution(number, revision=revision) for revision in range(1, 9) for number in range(40)]
        async with dispatching(settings):
            await publish(settings, Topic.ATTRIBUTIONS, rows, per_record=len(rows))
            await receiver.until(lambda: len(receiver.calls) >= len(rows))
        by_conversion: dict[str, list[int]] = {}
        for call in receiver.calls:
            data = call.message["data"]
            by_conversion.setdefault(data["conversion_id"], []).append(data["revision"])
        assert set(map(tuple, by_conversion.values())) == {tuple(range(1, 9))}


async def test_a_healthy_endpoint_among_a_hanging_and_a_failing_one(tmp_path: Path, broker: str) -> None:
    """Lean: 400 conversions and 1,200 deliveries; `make bench` has 10,000 with their delays. The healthy one gets each
    exactly once while the hanging one has not let go of a single call."""
    settings = webhook_settings(tmp_path, broker, webhook_retry_seconds="3600", webhook_timeout_seconds=60.0)
    release = asyncio.Event()

    async def hang(_call: Call) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    desk = Desk(settings)
    async with receiving() as receiver:
        receiver.answers |= {"/hangs": hang, "/fails": answer(500)}
        for path in ("/hangs", "/fails", "/shop"):
            desk.add(receiver.url(path), CONVERSIONS)
        async with dispatching(settings):
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(n) for n in range(400)])
            await receiver.until(lambda: len(receiver.of("/shop")) >= 400 and bool(receiver.of("/hangs")))
            assert 0 < len(receiver.of("/hangs")) <= 16, "its concurrency"
            release.set()
        assert set(receiver.ids("/shop").values()) == {1}
        assert len(receiver.of("/fails")) < 400, "its circuit opened"


def skipped() -> float:
    """Deliveries held back so far, by the dispatcher's own count."""
    return ATTEMPTS.labels("skipped")._value.get()  # type: ignore[no-any-return]


async def until(condition, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
