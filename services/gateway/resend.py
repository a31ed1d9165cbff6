"""`POST /v1/webhooks/deliveries/{id}/resend`: queue a delivery once more, with the same id and the same body.

The gateway's, because it writes to Kafka: it asks the query service for the delivery, with the caller's own key, and
queues it for its endpoint. It takes a key with both scopes: one that may only write stands in pages for anyone to take.
"""

from typing import Any, Final

import httpx
import msgspec
from starlette.types import Receive, Scope, Send

from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.producer import SendFailed
from pipeline.runtime.log import get_logger
from schemas.control import Scope as KeyScope
from schemas.errors import ErrorCode
from schemas.topics import Topic
from schemas.webhooks import Delivery, encode_delivery, partition_of_endpoint
from services.gateway.answers import Time, utc_seconds
from services.gateway.forward import Forwarder
from services.gateway.publish import Publisher
from services.gateway.request_edge import RETRY_SECONDS, reply_to, send_reply
from services.gateway.request_head import CALL, Call
from services.gateway.snapshots import Snapshots
from services.web.auth import Caller, identify, require
from services.web.envelope import Reply, success
from services.web.errors import ApiError, server_error
from services.web.openapi import Document, envelope, schemas_of
from services.webhook_calls.resend import queued_again

PATH: Final = "/v1/webhooks/deliveries/{delivery_id}/resend"
CODES: Final = (
    ErrorCode.INVALID_API_KEY,
    ErrorCode.FORBIDDEN,
    ErrorCode.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED,
    ErrorCode.RATE_LIMIT_EXCEEDED,
    ErrorCode.SERVER_ERROR,
)
_log = get_logger("gateway")


class _Named(msgspec.Struct):
    endpoint_id: str
    fact_id: str


class _Detail(msgspec.Struct):
    delivery: _Named
    payload: str


class _Answer(msgspec.Struct):
    data: _Detail


_decode_answer = msgspec.json.Decoder(_Answer).decode


class Queued(msgspec.Struct):
    delivery_id: str
    queued_at: Time


class Resending:
    """ASGI application that resends deliveries. `forwarder`: None where there is no query service, and so no delivery
    to be found.
    """

    def __init__(self, snapshots: Snapshots, publisher: Publisher, forwarder: Forwarder | None) -> None:
        self._snapshots = snapshots
        self._publisher = publisher
        self._forwarder = forwarder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: Call = scope[CALL]
        try:
            reply = await self._resend(call, scope["path_params"]["delivery_id"])
        except Exception as error:
            reply = reply_to(error, call)
        await send_reply(reply, send)

    async def _resend(self, call: Call, delivery_id: str) -> Reply:
        caller = self._admit(call)
        found = await self._find(call, delivery_id)
        now = now_ms()
        delivery = queued_again(found.delivery.endpoint_id, found.delivery.fact_id, found.payload, now)
        known = {endpoint.endpoint_id for endpoint in self._snapshots.current().webhooks.get(caller.app.app_id, ())}
        if delivery.endpoint_id not in known:
            raise ApiError(ErrorCode.NOT_FOUND)  # its endpoint was removed: there is nowhere to send it
        await self._queue(delivery)
        return success(201, Queued(delivery.delivery_id, utc_seconds(now // 1000)))

    def _admit(self, call: Call) -> Caller:
        caller = identify(call.authorization, self._snapshots.current())
        self._snapshots.note_use(caller.key.key_id)
        require(caller, KeyScope.WRITE)
        require(caller, KeyScope.READ)
        return caller

    async def _find(self, call: Call, delivery_id: str) -> _Detail:
        if self._forwarder is None:
            raise ApiError(ErrorCode.NOT_FOUND)
        try:
            path = httpx.URL("http://_", path=f"/v1/webhooks/deliveries/{delivery_id}").raw_path
            answer = await self._forwarder.read(path, call)
        except httpx.InvalidURL:
            raise ApiError(ErrorCode.NOT_FOUND) from None
        except httpx.HTTPError as error:
            _log.warning("query_away", request_id=call.request_id, error=f"{type(error).__name__}: {error}")
            raise server_error(RETRY_SECONDS) from error
        if answer.status_code in (400, 404):
            raise ApiError(ErrorCode.NOT_FOUND)
        if answer.status_code != 200:
            raise server_error(RETRY_SECONDS)
        return _decode_answer(answer.content).data

    async def _queue(self, delivery: Delivery) -> None:
        self._publisher.require_room()
        partition = partition_of_endpoint(delivery.endpoint_id, self._publisher.partitions)
        try:
            await self._publisher.sink.send(Topic.WEBHOOK_DELIVERIES, partition, encode_delivery(delivery) + b"\n")
        except SendFailed as error:
            raise server_error(RETRY_SECONDS) from error


def operation(errors: Document) -> Document:
    """Return its operation in the OpenAPI document; `errors`: the responses of `CODES`."""
    example: dict[str, Any] = {"delivery_id": "whd_0b9c2f6f5d3e4a1b8c7d6e5f", "queued_at": "2024-01-15T10:30:01Z"}
    schema = envelope(True, "data", schemas_of(Queued)["Queued"])
    content = {"application/json": {"schema": schema, "example": {"success": True, "data": example}}}
    return {
        "tags": ["webhooks"],
        "operationId": "resend_delivery",
        "summary": "重新发送 · Send a delivery once more",
        "description": "With the same id and the same body, whatever became of it before. Takes a key with the scopes "
        "`read` and `write`. A delivery of an endpoint that was removed is not found.",
        "security": [{"ApiKey": []}],
        "parameters": [
            {
                "name": "delivery_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "maxLength": 128},
                "example": example["delivery_id"],
            }
        ],
        "responses": {"201": {"description": "Queued: acknowledged by the broker", "content": content}} | errors,
    }
