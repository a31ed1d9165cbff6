"""Segment's HTTP API as a second door: its SDKs report here with a write key of ours.

A server's SDK sends the key as the user of Basic authentication, a page's in the body, as `writeKey`. After `segment`
has made events of the messages, they go the way of `POST /v1/events/batch`.

The SDKs send a request again after 429 and 5xx, and drop it after any other 4xx. So a message that is refused is kept
as a reject and costs its batch nothing, and what waiting can mend is never answered with another 4xx.
"""

from functools import partial
from typing import Final

import msgspec
from starlette.types import Receive

from schemas.events import MAX_EVENT_BYTES
from services.gateway.admission import Admission
from services.gateway.bodies import read_body
from services.gateway.body_split import Events, events_of
from services.gateway.intake import Intake, Reading
from services.gateway.request_edge import Endpoint, Handle
from services.gateway.request_head import Call
from services.gateway.segment import BATCH, KINDS, MAX_SEGMENT_BATCH_BYTES, key_in_basic, key_in_body, pieces_of
from services.gateway.threads import compute
from services.web.auth import Caller
from services.web.budget import Budget, Held, payer_of
from services.web.envelope import JSON_HEADER, Language, Reply, encode_json
from services.web.errors import ApiError, Error

PREFIX: Final = "/segment/v1/"
MAX_STRANGERS_BODY_BYTES: Final = 64 * 1024
"""Limit on a batch with its key inside: pages cannot send more when they are left."""
STRANGERS_BUDGET_BYTES: Final = 4 * 1024 * 1024
"""Bytes that may be held of bodies whose key is not known yet, shared fairly by client networks."""
KIND_OF: Final = {kind: kind for kind in (*KINDS, BATCH)} | {kind[0]: kind for kind in KINDS} | {"import": BATCH}
"""End of a path → kind of the request. `import` is an old name of `batch`; a page's SDK says `t` for `track`."""
_LONG_BYTES: Final = 16 * 1024
"""Making events of a longer body may take longer than others should wait."""
_DONE: Final = Reply(200, encode_json({"success": True}))


class SegmentFailure(msgspec.Struct):
    """Our error, with `code` and `message` where Segment's SDKs look for them."""

    success: bool
    code: str
    message: str
    error: Error


def segment_failure(error: ApiError, language: Language) -> Reply:
    told = error.body(language)
    body = encode_json(SegmentFailure(False, told.code, told.message, told))
    return Reply(error.code.status, body, (JSON_HEADER, *error.headers))


class SegmentApi:
    def __init__(self, admission: Admission, intake: Intake) -> None:
        self._admission = admission
        self._intake = intake
        self._strangers = Budget(STRANGERS_BUDGET_BYTES)

    def endpoints(self) -> dict[str, Endpoint]:
        """Return the endpoints by path."""
        return {PREFIX + end: Endpoint(self._handler(kind), segment_failure) for end, kind in KIND_OF.items()}

    def _handler(self, kind: str) -> Handle:
        async def handle(call: Call, receive: Receive) -> Reply:
            if not call.authorization:
                return await self._take_keyed_body(kind, call, receive)
            if key := key_in_basic(call.authorization):
                call.authorization = b"Bearer " + key
            caller = await self._admission.admit(call)
            limit_bytes = MAX_SEGMENT_BATCH_BYTES if kind == BATCH else MAX_EVENT_BYTES
            with self._intake.held(call) as held:
                body = await self._intake.read(call, caller, receive, limit_bytes, held)
                return await self._take(kind, body, call, caller, held)

        return handle

    async def _take_keyed_body(self, kind: str, call: Call, receive: Receive) -> Reply:
        """Take a body that has to be read before it is known whose it is."""
        limit_bytes = MAX_STRANGERS_BODY_BYTES if kind == BATCH else MAX_EVENT_BYTES
        with Held(self._strangers, payer_of("", call.ip)) as unknown:
            body = await read_body(call, receive, limit_bytes, unknown)
            if key := await compute(len(body) > _LONG_BYTES, key_in_body, body):
                call.authorization = b"Bearer " + key
            caller = await self._admission.admit(call)
        with self._intake.held(call) as held:
            held.take(len(body))
            return await self._take(kind, body, call, caller, held)

    async def _take(self, kind: str, body: bytes, call: Call, caller: Caller, held: Held) -> Reply:
        reading = Reading(partial(_events_of, kind=kind), _LONG_BYTES)
        await self._intake.take_many(_without_key(body, call), reading, call, caller, held.payer, errors_only=True)
        return _DONE


def _without_key(body: bytes, call: Call) -> bytes:
    """Return the body without the key it came with: a body that is refused is kept."""
    return body.replace(call.authorization.split()[-1], b"***")


def _events_of(body: bytes, kind: str) -> Events:
    return events_of(pieces_of(body, kind))
