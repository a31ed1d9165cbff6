"""Deliveries end to end, over a real broker and real sockets."""

from pathlib import Path

from webhook_world import Desk, dispatching, publish, receiving, webhook_settings

from schemas.topics import Topic
from schemas.webhooks import EventType


async def test_every_fact_goes_to_whom_it_concerns(tmp_path: Path, broker: str) -> None:
    settings = webhook_settings(tmp_path, broker)
    desk = Desk(settings)
    async with receiving() as receiver:
        desk.add(receiver.url("/all"))
        desk.add(receiver.url("/conversions"), EventType.CONVERSION_CREATED)
        async with dispatching(settings):
            await publish(settings, Topic.CONVERSIONS, [desk.conversion(n) for n in range(20)])
            await publish(settings, Topic.ATTRIBUTIONS, [desk.attribution(n) for n in range(20)])
            await receiver.until(lambda: len(receiver.of("/all")) >= 40 and len(receiver.of("/conversions")) >= 20)
        assert len(receiver.ids("/all")) == len(receiver.of("/all")) == 40
        assert len(receiver.ids("/conversions")) == len(receiver.of("/conversions")) == 20
        assert not receiver.ids("/all").keys() & receiver.ids("/conversions").keys()
        for path in ("/all", "/conversions"):
            numbers = sorted(call.message["sequence"] for call in receiver.of(path))
            assert numbers == list(range(1, len(numbers) + 1))
