"""Queue of one endpoint: its deliveries in memory, its concurrent attempts, its rate limiter, its circuit breaker.

A queue has as many *slots* as the endpoint may have attempts under way, and a delivery goes to the slot of its person:
so a person's deliveries go out in order, and a slow answer holds up its slot only. Nothing here ever waits for room: a
queue refuses a delivery when its circuit is open or it is full, and the delivery is put off through Kafka. What waits
behind an answer that is slow in coming is given up by `sweep`, so that a receiver that hangs holds neither memory nor
the offsets of the others' deliveries.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from pipeline.runtime.clock import monotonic_seconds
from pipeline.runtime.log import get_logger
from schemas.control import WebhookEndpoint
from schemas.webhooks import Delivery
from services.webhook_calls import call_errors
from services.webhook_calls.sender import Reply
from services.webhooks.circuit_breaker import CircuitBreaker
from services.webhooks.delivery_progress import DeliveryProgress
from services.webhooks.metrics import IN_MEMORY, IN_MEMORY_BYTES
from services.webhooks.rate_limiter import RateLimiter

SLOW_SECONDS: Final = 2.0
"""Seconds after which a slot busy with one delivery gives up the deliveries waiting behind it for
`PATIENCE_SECONDS`.
"""
PATIENCE_SECONDS: Final = 2.0
RECENT_SECONDS: Final = 60.0

log = get_logger("webhooks")

CIRCUIT_OPEN: Final = str(call_errors.DOWN)
BEHIND: Final = str(call_errors.BEHIND)


@dataclass(slots=True, eq=False)
class Item:
    """A delivery in memory. It is done once `progress` has noted so."""

    delivery: Delivery
    size_bytes: int
    progress: DeliveryProgress
    offset: int
    queued_at: float = 0.0
    is_probe: bool = False
    is_by_previous_secret: bool = False
    """True if its body was last signed with the previous secret."""


@dataclass
class Memory:
    """Memory held by all queues, and its limit."""

    limit_bytes: int
    used_bytes: int = 0

    def take(self, size_bytes: int) -> bool:
        if self.used_bytes + size_bytes > self.limit_bytes:
            return False
        self.used_bytes += size_bytes
        IN_MEMORY_BYTES.set(self.used_bytes)
        return True

    def give_back(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        IN_MEMORY_BYTES.set(self.used_bytes)


class _Slot:
    def __init__(self) -> None:
        self.queue: deque[Item] = deque()
        self.busy_since: float | None = None
        self.task: asyncio.Task[None] | None = None


Attempt = Callable[["EndpointQueue", Item], Awaitable[Reply | None]]
PutOff = Callable[["EndpointQueue", Item, str], None]


class EndpointQueue:
    """Queue of an endpoint. `attempt` sends one delivery and handles the result (None: it was not sent); `put_off`
    takes back one that was accepted.
    """

    def __init__(
        self, endpoint: WebhookEndpoint, memory: Memory, max_queue: int, attempt: Attempt, put_off: PutOff
    ) -> None:
        self.endpoint = endpoint
        self.breaker = CircuitBreaker()
        self.prefers_previous_secret = True
        """During a rotation: the secret the receiver has, judged by its answers."""
        self._limiter = RateLimiter(endpoint.max_per_second, monotonic_seconds())
        self._memory = memory
        self._max_queue = max_queue
        self._attempt = attempt
        self._put_off = put_off
        self._slots = [_Slot() for _ in range(endpoint.max_concurrency)]
        self._queued = 0
        self._succeeded_at = float("-inf")

    @property
    def is_idle(self) -> bool:
        return not self._queued and all(slot.task is None for slot in self._slots)

    def is_working(self, now: float) -> bool:
        """True if a delivery has succeeded lately: then what is put off comes back soon."""
        return now - self._succeeded_at < RECENT_SECONDS

    def update(self, endpoint: WebhookEndpoint) -> None:
        """Use the endpoint's present settings. Another number of slots counts from the next deliveries on."""
        if endpoint.secret != self.endpoint.secret:
            self.prefers_previous_secret = True
        if endpoint.max_per_second != self.endpoint.max_per_second:
            self._limiter = RateLimiter(endpoint.max_per_second, monotonic_seconds())
        if endpoint.max_concurrency > len(self._slots):
            self._slots += [_Slot() for _ in range(endpoint.max_concurrency - len(self._slots))]
        self.endpoint = endpoint

    def offer(self, item: Item) -> str:
        """Take the delivery, or return why not (empty: taken)."""
        now = monotonic_seconds()
        if self._queued >= self._max_queue or not self._memory.take(item.size_bytes):
            return BEHIND
        is_closed = self.breaker.is_closed
        if not self.breaker.admits(now):
            self._memory.give_back(item.size_bytes)
            return CIRCUIT_OPEN
        item.is_probe = not is_closed
        item.queued_at = now
        slot = self._slots[crc32(item.delivery.order_key.encode()) % self.endpoint.max_concurrency]
        slot.queue.append(item)
        self._queued += 1
        IN_MEMORY.inc()
        if slot.task is None:
            slot.task = asyncio.create_task(self._run(slot))
        return ""

    async def sweep(self, now: float) -> None:
        """Give up the deliveries waiting behind slow answers."""
        for slot in self._slots:
            if slot.busy_since is None or now - slot.busy_since < SLOW_SECONDS:
                continue
            while slot.queue and now - slot.queue[0].queued_at > PATIENCE_SECONDS:
                self._return(slot.queue.popleft(), BEHIND)
                await asyncio.sleep(0)

    def drop_stale(self) -> None:
        """Forget deliveries whose partition has gone to another process: it reads them itself."""
        for slot in self._slots:
            stale = [item for item in slot.queue if item.progress.is_closed]
            for item in stale:
                slot.queue.remove(item)
                self._release(item)

    def stop(self) -> list[asyncio.Task[None]]:
        """Begin nothing more; what waits is read again after the next start. Wait for the attempts still under way."""
        for slot in self._slots:
            while slot.queue:
                self._release(slot.queue.popleft())
        return [slot.task for slot in self._slots if slot.task is not None]

    async def _run(self, slot: _Slot) -> None:
        """Send one delivery after another, while there are any."""
        try:
            while slot.queue:
                item = slot.queue.popleft()
                slot.busy_since = monotonic_seconds()
                self._queued -= 1
                await self._handle(item)
                IN_MEMORY.dec()
                self._memory.give_back(item.size_bytes)
        finally:
            slot.task = None
            slot.busy_since = None

    async def _handle(self, item: Item) -> None:
        try:
            reply = await self._attempt(self, item) if await self._may_go(item) else None
        except Exception as bug:
            log.exception("attempt_crashed", endpoint=self.endpoint.endpoint_id, delivery=item.delivery.delivery_id)
            self._put_off(self, item, str(call_errors.OUR_FAULT.filled(error=type(bug).__name__)))
            reply = None
        if reply is not None:
            self._learn(item, reply)
        elif item.is_probe:
            self.breaker.forget_probe()

    async def _may_go(self, item: Item) -> bool:
        if not (self.breaker.is_closed or item.is_probe):
            self._put_off(self, item, CIRCUIT_OPEN)
            await asyncio.sleep(0)
            return False
        wait_seconds = self._limiter.take(monotonic_seconds())
        if wait_seconds:
            await asyncio.sleep(wait_seconds)
        return True

    def _learn(self, item: Item, reply: Reply) -> None:
        if reply.is_unwell:
            self.breaker.failed(monotonic_seconds(), item.is_probe)
        else:
            self.breaker.succeeded()
            self._succeeded_at = monotonic_seconds()
        if reply.is_success:
            self.prefers_previous_secret = item.is_by_previous_secret
        elif reply.status in (400, 401, 403) and self.prefers_previous_secret == item.is_by_previous_secret:
            self.prefers_previous_secret = not self.prefers_previous_secret

    def _return(self, item: Item, why: str) -> None:
        self._release(item)
        self._put_off(self, item, why)

    def _release(self, item: Item) -> None:
        self._queued -= 1
        IN_MEMORY.dec()
        self._memory.give_back(item.size_bytes)
        if item.is_probe:
            self.breaker.forget_probe()
