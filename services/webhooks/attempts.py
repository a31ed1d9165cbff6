"""Attempts to deliver: sign, send, note how the endpoint answered, conclude what follows."""

import random

from pipeline.runtime.clock import monotonic_seconds, now_ms
from pipeline.runtime.secret_box import SecretBox
from pipeline.runtime.traces.tracer import Attributes, Kind, Span, Tracer
from schemas.control import WebhookEndpoint
from schemas.webhooks import Delivery
from services.webhook_calls.body import body_of
from services.webhook_calls.sender import Reply, Sender
from services.webhook_calls.signature import signed_headers
from services.webhooks.attempt_outcome import Moment, conclude, defer, skip
from services.webhooks.endpoint_queue import EndpointQueue, Item
from services.webhooks.endpoints import Endpoints
from services.webhooks.metrics import ATTEMPT_SECONDS, DELAY_SECONDS
from services.webhooks.outcome_writer import OutcomeWriter
from services.webhooks.retry_schedule import RetrySchedule


class Attempts:
    def __init__(
        self,
        endpoints: Endpoints,
        sender: Sender,
        box: SecretBox,
        schedule: RetrySchedule,
        writer: OutcomeWriter,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._endpoints = endpoints
        self._sender = sender
        self._box = box
        self._schedule = schedule
        self._writer = writer

    async def attempt(self, queue: EndpointQueue, item: Item) -> Reply | None:
        """Send a delivery; None: it was not sent, because its endpoint was removed or is not active."""
        delivery, endpoint = item.delivery, queue.endpoint
        if self._endpoints.get(endpoint.endpoint_id) is None:
            item.progress.done(item.offset)  # it was removed while this waited in its queue
            return None
        if self.skip_if_inactive(endpoint, item):
            return None
        body = body_of(delivery)
        span = begin_attempt(self._tracer, delivery) if self._tracer is not None and delivery.traceparent else None
        reply = await self._sender.post(endpoint.url, self._sign(queue, item, body), body)
        if span is not None:
            end_attempt(span, reply)
        at = Moment(now_ms(), random.random())  # noqa: S311 - spreads load, keeps no secret
        _observe(delivery, reply, at.now_ms)
        self._endpoints.note_reply(endpoint, reply, at.now_ms)
        self._writer.write(item, conclude(delivery, body, reply, at, self._schedule))
        return reply

    def skip_if_inactive(self, endpoint: WebhookEndpoint, item: Item) -> bool:
        """Skip the delivery if the endpoint is paused or disabled; tell whether it is."""
        why_not = self._endpoints.why_not_active(endpoint)
        if why_not:
            self._writer.write(item, skip(item.delivery, body_of(item.delivery), why_not, now_ms()))
        return bool(why_not)

    def put_off(self, queue: EndpointQueue, item: Item, why: str) -> None:
        """Put a delivery off without an attempt."""
        is_working = queue.breaker.is_closed and queue.is_working(monotonic_seconds())
        self._writer.write(item, defer(item.delivery, why, now_ms(), self._schedule, is_working))

    def _sign(self, queue: EndpointQueue, item: Item, body: bytes) -> dict[str, str]:
        endpoint, now = queue.endpoint, now_ms()
        secrets = [self._box.unlock(endpoint.secret)]
        if endpoint.previous_secret and now < endpoint.previous_valid_until_ms:
            secrets.append(self._box.unlock(endpoint.previous_secret))
        item.is_by_previous_secret = queue.prefers_previous_secret
        of_body = secrets[-1] if item.is_by_previous_secret else secrets[0]
        return signed_headers(secrets, of_body, item.delivery.delivery_id, now // 1000, body)


def begin_attempt(tracer: Tracer, delivery: Delivery) -> Span | None:
    """Begin the step of one attempt. Neither the receiver's address nor what it is sent is in it."""
    attributes: Attributes = {
        "attrikit.app_id": delivery.app_id,
        "attrikit.endpoint_id": delivery.endpoint_id,
        "attrikit.event_type": delivery.event_type,
        "attrikit.attempt": delivery.attempt,
    }
    return tracer.follow("webhook attempt", Kind.CLIENT, [delivery.traceparent.encode()], attributes)


def end_attempt(span: Span, reply: Reply) -> None:
    span.note({"http.response.status_code": reply.status})
    span.end("" if reply.is_success else str(reply.status))


def _observe(delivery: Delivery, reply: Reply, now_ms: int) -> None:
    ATTEMPT_SECONDS.observe(reply.duration_ms / 1000)
    if reply.is_success and delivery.attempt == 1 and not delivery.deferrals and not delivery.is_resent:
        DELAY_SECONDS.observe(max(0, now_ms - delivery.created_at_ms) / 1000)
