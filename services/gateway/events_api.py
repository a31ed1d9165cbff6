"""Our own API for events: `track`, `batch` and `validate`. Each method names its stages in order.

A 2xx means that the broker has acknowledged the events (`acks=all`). After a 500 they may or may not be there; sending
them again with the same `event_id` is safe for 7 days.
"""

from functools import partial
from typing import Final
from urllib.parse import parse_qs

from starlette.types import Receive

from schemas.control import App
from schemas.events import MAX_BATCH_BYTES, MAX_EVENT_BYTES
from schemas.ids import mint_event_id
from services.gateway.admission import Admission
from services.gateway.answers import validation
from services.gateway.bodies import read_body
from services.gateway.body_split import Events, is_batch, parse_any, parse_batch
from services.gateway.intake import LONG_BYTES, Intake, Reading, receipt_of, warnings_for
from services.gateway.outcomes import judge
from services.gateway.request_head import Call
from services.gateway.threads import compute
from services.gateway.validate import Receipt
from services.web.auth import Caller
from services.web.budget import Payer
from services.web.envelope import Reply, success
from services.web.errors import Text, invalid

_VALIDATED_BYTES: Final = 2 * 1024
"""Validating a longer body, of events as short as they can be, may take longer than others should wait."""
_RESULTS: Final = Text("只能是 all 或 errors", "it must be all or errors")


class EventsApi:
    """The three endpoints under `/v1/events` that take events."""

    def __init__(self, admission: Admission, intake: Intake) -> None:
        self._admission = admission
        self._intake = intake

    async def track(self, call: Call, receive: Receive) -> Reply:
        """Accept one event: 201 with its id, or the error."""
        caller = await self._admission.admit(call, takes_url=True)
        with self._intake.held(call) as held:
            body = await self._intake.read(call, caller, receive, MAX_EVENT_BYTES, held)
            return await self._intake.take_one(body, call, caller, held.payer)

    async def batch(self, call: Call, receive: Receive) -> Reply:
        """Accept many events: 201 (200 if none was accepted) with a result for each."""
        caller = await self._admission.admit(call, takes_url=True)
        errors_only = _wants_errors_only(call.query)
        with self._intake.held(call) as held:
            body = await self._intake.read(call, caller, receive, MAX_BATCH_BYTES, held)
            return await self._take_batch(body, call, caller, held.payer, errors_only)

    async def either(self, call: Call, receive: Receive) -> Reply:
        """Accept one event or a batch, whichever comes, as `track` and `batch` do."""
        caller = await self._admission.admit(call, takes_url=True)
        errors_only = _wants_errors_only(call.query)
        with self._intake.held(call) as held:
            body = await self._intake.read(call, caller, receive, MAX_BATCH_BYTES, held)
            if await compute(len(body) > LONG_BYTES, is_batch, body, call.content_type):
                return await self._take_batch(body, call, caller, held.payer, errors_only)
            return await self._intake.take_one(body, call, caller, held.payer)

    async def _take_batch(self, body: bytes, call: Call, caller: Caller, payer: Payer, errors_only: bool) -> Reply:
        split = partial(parse_batch, content_type=call.content_type)
        reading = Reading(split, split_quickly=partial(split, may_scan=False))
        return await self._intake.take_many(body, reading, call, caller, payer, errors_only)

    async def validate(self, call: Call, receive: Receive) -> Reply:
        """Validate events by the same checks; nothing is stored, and the day's requests stay as they are."""
        caller = await self._admission.admit(call, is_validation=True)
        with self._intake.held(call) as held:
            body = await read_body(call, receive, MAX_BATCH_BYTES, held)
            receipt = receipt_of(call, caller)
            return await compute(len(body) > _VALIDATED_BYTES, _validated, body, call, receipt, caller.app)


def _validated(body: bytes, call: Call, receipt: Receipt, app: App) -> Reply:
    events = parse_any(body, call.content_type)
    outcomes = judge(events, receipt)
    found = warnings_for(outcomes, events, app)
    return success(200, validation(outcomes, _minted(events, receipt), app, call.language, found))


def _wants_errors_only(query: bytes) -> bool:
    if not query:
        return False
    wanted = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("results", ["all"])[-1]
    if wanted not in ("all", "errors"):
        raise invalid("results", _RESULTS)
    return wanted == "errors"


def _minted(events: Events, receipt: Receipt) -> frozenset[str]:
    """Return the ids that `judge` gives to events that bring none."""
    received_ms = receipt.received_us // 1000
    return frozenset(mint_event_id(received_ms, receipt.random_80_bits + n) for n in range(len(events.pieces)))
