"""Send deliveries to receivers: one consumer over `webhook-deliveries`; every endpoint has a lane of its own.

    Step 1  read a record; number its new deliveries
    Step 2  offer each to its endpoint's lane; what the lane does not take is put off
    Step 3  attempt; write to `webhook-attempts` how it ended, and to `webhook-retries` if it comes again
    Step 4  when both are acknowledged the delivery is done; commit offsets before which everything is done, with the
            numbers given out up to there

A crash anywhere repeats what was not committed, with the same ids and the same numbers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import TopicPartition

from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.log import get_logger
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.settings import Settings
from schemas.control import Snapshot, WebhookEndpoint
from schemas.facts import encode_row
from schemas.topics import WEBHOOK_DELIVERIES_GROUP, Topic
from schemas.webhooks import Delivery, EndpointState, decode_deliveries, partition_of_endpoint
from services.webhooks.follow import Follower
from services.webhooks.judge import GONE, Moment, Verdict, defer, judge, skip
from services.webhooks.ladder import Ladder
from services.webhooks.lanes import Item, Lane, Memory
from services.webhooks.metrics import (
    ATTEMPT_SECONDS,
    ATTEMPTS,
    DELAY_SECONDS,
    OPEN_CIRCUITS,
    UNREADABLE,
)
from services.webhooks.outbox import Outbox
from services.webhooks.payload import body_of
from services.webhooks.sender import Reply, Sender
from services.webhooks.signature import signed_headers
from services.webhooks.standing import Standing
from services.webhooks.tracker import Mark, Tracker, read_metadata
from services.webhooks.waiting import put_waiting

_POLL_MS: Final = 500
_MAX_RECORDS: Final = 50
_COMMIT_SECONDS: Final = 0.5
log = get_logger("webhooks")

Record = Any
"""An aiokafka `ConsumerRecord`."""


class Dispatcher:
    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Snapshot],
        outbox: Outbox,
        sender: Sender,
        standing: Standing,
        box: SecretBox,
    ) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._outbox = outbox
        self._sender = sender
        self._standing = standing
        self._box = box
        self._ladder = Ladder(settings.webhook_retries())
        self._memory = Memory(settings.webhook_queue_bytes)
        self._lanes: dict[str, Lane] = {}
        self._endpoints: dict[str, WebhookEndpoint] = {}
        self._seen_snapshot: Snapshot | None = None
        self._off: dict[str, str] = {}
        """Endpoints disabled here that the snapshot still shows as active → why."""
        self._trackers: dict[TopicPartition, Tracker] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self.follower = Follower(settings, [Topic.WEBHOOK_DELIVERIES], WEBHOOK_DELIVERIES_GROUP, self._begin_epoch)

    async def run(self) -> None:
        """Run forever."""
        housekeeping = asyncio.create_task(self._keep_house())
        try:
            while True:
                if housekeeping.done():
                    housekeeping.result()
                batches = await self.follower.read(_POLL_MS, _MAX_RECORDS)
                self._look_at_endpoints()
                for tp, records in batches.items():
                    for record in records:
                        await self._take(tp, record)
                await self._outbox.room()
        finally:
            housekeeping.cancel()

    async def drain(self) -> None:
        """Let the attempts under way end, and commit."""
        running = [task for lane in self._lanes.values() for task in lane.stop()]
        deadline = self._settings.webhook_timeout_seconds + 1
        if running:
            await asyncio.wait(running, timeout=deadline)
        if self._settling:
            await asyncio.wait(self._settling, timeout=deadline)
        await self._commit()

    # Steps 1 and 2

    def _begin_epoch(self, metadata: dict[TopicPartition, str]) -> None:
        for tracker in self._trackers.values():
            tracker.is_closed = True
        for lane in self._lanes.values():
            lane.drop_stale()
        self._trackers = {tp: Tracker(read_metadata(text)) for tp, text in metadata.items()}

    async def _take(self, tp: TopicPartition, record: Record) -> None:
        tracker = self._trackers.get(tp)
        if tracker is None:
            return  # the partition went while others were looked at
        deliveries = _read(record)
        tracker.began(record.offset, len(deliveries))
        for delivery in deliveries:
            if not delivery.sequence and not self._number(tracker, record.offset, delivery):
                tracker.done(record.offset)
                continue
            size = len(bytes(delivery.data)) + 1_000
            self._dispatch(Item(delivery, size, tracker, record.offset))
            await _breathe()

    @staticmethod
    def _number(tracker: Tracker, offset: int, delivery: Delivery) -> bool:
        """Give the delivery its number; False: it was read before."""
        mark = Mark(delivery.source_offset, delivery.source_row, delivery.created_at_ms, delivery.endpoint_id)
        if tracker.is_repeat(offset, delivery.source, mark):
            return False
        delivery.sequence = tracker.number(offset, delivery.endpoint_id)
        return True

    def _dispatch(self, item: Item) -> None:
        endpoint = self._endpoints.get(item.delivery.endpoint_id)
        if endpoint is None:
            item.tracker.done(item.offset)  # it was removed, and nobody could ask for its log
            return
        why_not = _why_not_active(endpoint, self._off)
        if why_not:
            self._settle(item, skip(item.delivery, body_of(item.delivery), why_not, now_ms()))
            return
        lane = self._lane(endpoint)
        refusal = lane.offer(item)
        if refusal:
            self._put_off(lane, item, refusal)

    def _lane(self, endpoint: WebhookEndpoint) -> Lane:
        lane = self._lanes.get(endpoint.endpoint_id)
        if lane is None:
            queue = self._settings.webhook_queue_deliveries
            lane = self._lanes[endpoint.endpoint_id] = Lane(endpoint, self._memory, queue, self._attempt, self._put_off)
        return lane

    def _put_off(self, lane: Lane, item: Item, why: str) -> None:
        is_working = lane.breaker.is_closed and lane.is_working(monotonic_seconds())
        self._settle(item, defer(item.delivery, why, now_ms(), self._ladder, is_working))

    # Step 3

    async def _attempt(self, lane: Lane, item: Item) -> Reply | None:
        delivery, endpoint = item.delivery, lane.endpoint
        if endpoint.endpoint_id not in self._endpoints:
            item.tracker.done(item.offset)  # it was removed while this waited in its lane
            return None
        body = body_of(delivery)
        why_not = _why_not_active(endpoint, self._off)
        if why_not:
            self._settle(item, skip(delivery, body, why_not, now_ms()))
            return None
        headers = self._sign(lane, item, body)
        reply = await self._sender.post(endpoint.url, headers, body)
        at = Moment(now_ms(), random.random())  # noqa: S311 - spreads load, keeps no secret
        self._observe(delivery, reply, at.now_ms)
        self._judge_endpoint(endpoint, reply, at.now_ms)
        self._settle(item, judge(delivery, body, reply, at, self._ladder))
        return reply

    def _sign(self, lane: Lane, item: Item, body: bytes) -> dict[str, str]:
        endpoint, now = lane.endpoint, now_ms()
        secrets = [self._box.unlock(endpoint.secret)]
        if endpoint.previous_secret and now < endpoint.previous_valid_until_ms:
            secrets.append(self._box.unlock(endpoint.previous_secret))
        item.is_by_previous_secret = lane.prefers_previous_secret
        of_body = secrets[-1] if item.is_by_previous_secret else secrets[0]
        return signed_headers(secrets, of_body, item.delivery.delivery_id, now // 1000, body)

    def _observe(self, delivery: Delivery, reply: Reply, now: int) -> None:
        ATTEMPT_SECONDS.observe(reply.duration_ms / 1000)
        if reply.is_success and delivery.attempt == 1 and not delivery.deferrals and not delivery.is_resent:
            DELAY_SECONDS.observe(max(0, now - delivery.created_at_ms) / 1000)

    def _judge_endpoint(self, endpoint: WebhookEndpoint, reply: Reply, now: int) -> None:
        if endpoint.endpoint_id in self._off:
            return  # decided already, by a call beside this one
        if reply.is_success:
            self._standing.succeeded(endpoint)
        elif reply.status == GONE:
            self._off[endpoint.endpoint_id] = "it answered 410 Gone"
            self._standing.disable(endpoint, self._off[endpoint.endpoint_id], now, "gone")
        elif self._standing.failed(endpoint, now):
            self._off[endpoint.endpoint_id] = "it has been failing for too long"

    def _settle(self, item: Item, verdict: Verdict) -> None:
        ATTEMPTS.labels(verdict.outcome.value).inc()
        task = asyncio.create_task(self._write(item, verdict))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _write(self, item: Item, verdict: Verdict) -> None:
        writes: list[Awaitable[None]] = []
        if verdict.row is not None:
            partition = partition_of_endpoint(item.delivery.endpoint_id, self._settings.partitions)
            writes.append(self._outbox.put(Topic.WEBHOOK_ATTEMPTS, partition, encode_row(verdict.row)))
        if verdict.again is not None:
            writes.append(put_waiting(self._outbox, verdict.again, now_ms()))
        await asyncio.gather(*writes)
        if not item.tracker.is_closed:
            item.tracker.done(item.offset)

    # Step 4

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            now = monotonic_seconds()
            for lane in list(self._lanes.values()):
                await lane.sweep(now)
            OPEN_CIRCUITS.set(sum(not lane.breaker.is_closed for lane in self._lanes.values()))
            await self._commit()

    async def _commit(self) -> None:
        positions = {
            tp: (offset, tracker.metadata())
            for tp, tracker in self._trackers.items()
            if (offset := tracker.committable()) is not None
        }
        await self.follower.commit(positions)

    def _look_at_endpoints(self) -> None:
        """Follow the control plane's newest snapshot."""
        snapshot = self._snapshot()
        if snapshot is self._seen_snapshot:
            return
        before, self._seen_snapshot = self._endpoints, snapshot
        self._endpoints = {e.endpoint_id: e for endpoints in snapshot.webhooks.values() for e in endpoints}
        for endpoint_id, endpoint in self._endpoints.items():
            self._follow_state(before.get(endpoint_id), endpoint, snapshot.taken_at_ms)
        for endpoint_id in [
            known for known, lane in self._lanes.items() if known not in self._endpoints and lane.is_idle
        ]:
            del self._lanes[endpoint_id]

    def _follow_state(self, before: WebhookEndpoint | None, endpoint: WebhookEndpoint, taken_at_ms: int) -> None:
        was_off = before is not None and before.state is not EndpointState.ACTIVE
        if endpoint.endpoint_id in self._off and self._standing.is_known_at(endpoint.endpoint_id, taken_at_ms):
            del self._off[endpoint.endpoint_id]
            was_off = True
        if was_off and endpoint.state is EndpointState.ACTIVE:
            self._standing.forget(endpoint.endpoint_id)
        lane = self._lanes.get(endpoint.endpoint_id)
        if lane is not None:
            lane.update(endpoint)


async def _breathe() -> None:
    """Yield to the event loop, so that answers are read meanwhile: hundreds of deliveries in a record must not hold up
    those under way.
    """
    await asyncio.sleep(0)


def _read(record: Record) -> list[Delivery]:
    try:
        return decode_deliveries(record.value or b"")
    except ValueError as error:
        UNREADABLE.labels(record.topic).inc()
        log.error("unreadable record", topic=record.topic, offset=record.offset, reason=str(error))
        return []


def _why_not_active(endpoint: WebhookEndpoint, off: dict[str, str]) -> str:
    """Return why an endpoint is not active; empty if it is."""
    if endpoint.state is EndpointState.PAUSED:
        return "not tried: the endpoint is paused"
    if endpoint.state is EndpointState.DISABLED:
        return f"not tried: the endpoint is disabled ({endpoint.state_reason})"
    because = off.get(endpoint.endpoint_id)
    return f"not tried: the endpoint is disabled ({because})" if because else ""
