"""Intake of events: from the body of an admitted request to events that the broker has, and refusals that are kept.

Every endpoint that takes events ends here, so that each is checked, stored and answered in the same way.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from starlette.types import Receive

from pipeline.runtime.clock import now_us
from schemas.control import App
from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from services.gateway.answers import IS_KEPT, Tracked, all_accepted, batch_result, utc_seconds
from services.gateway.bodies import read_body
from services.gateway.body_split import BODY, BrokenJson, Events
from services.gateway.bots import MAX_USER_AGENT_CHARACTERS
from services.gateway.identity_links import KnownLinks
from services.gateway.metrics import EVENTS, REJECTED, REJECTS_DROPPED
from services.gateway.outcomes import Accepted, Duplicate, Outcome, Rejected, judge, rejected_row
from services.gateway.packing import Piece, pack_event, pack_events, pack_links, pack_rejects
from services.gateway.privacy import privacy_of
from services.gateway.publish import Publisher, PublishError
from services.gateway.recent_ids import SentIds
from services.gateway.request_head import Call
from services.gateway.threads import compute
from services.gateway.usage_counts import Tallies
from services.gateway.validate import Receipt, check_event
from services.gateway.warnings import Warned, doubtful, told_of_one, warnings_of
from services.gateway.whole_batch import accept_all
from services.web.auth import Caller
from services.web.budget import Held, Payer, payer_of
from services.web.envelope import Language, Reply, success
from services.web.errors import ApiError

_ACCEPTED: Final = EVENTS.labels("accepted")
_DUPLICATE: Final = EVENTS.labels("duplicate")
_REJECTED: Final = EVENTS.labels("rejected")
LONG_BYTES: Final = 192 * 1024
"""Bodies of up to so many bytes are read in the event loop where that is quick: 15 ns a byte for page views, 25 at
worst. A thread beside it would take a quarter more of processor time for them."""
_DEAR_BYTES: Final = 16 * 1024
_DEAR_EVENTS: Final = 100
"""Bytes and events that can be looked at one by one within 5 ms: up to 0.3 us a byte and 30 us an event."""


class Reading(NamedTuple):
    """How a body is split into events. One of more than `long_bytes` is worked on beside the event loop."""

    split: Callable[[bytes], Events]
    long_bytes: int = LONG_BYTES
    split_quickly: Callable[[bytes], Events] | None = None
    """Raises `BrokenJson` where `split` takes long; None: it takes long for more than `_DEAR_BYTES`."""


class Intake:
    def __init__(self, publisher: Publisher, tallies: Tallies) -> None:
        self._publisher = publisher
        self._tallies = tallies
        self._links = KnownLinks()
        self._sent = SentIds()

    def held(self, call: Call) -> Held:
        return Held(self._publisher.budget, payer_of(call.app_id, call.ip))

    async def read(self, call: Call, caller: Caller, receive: Receive, limit_bytes: int, held: Held) -> bytes:
        """Read a body; that it could not be read is recorded as a refusal."""
        try:
            return await read_body(call, receive, limit_bytes, held)
        except ApiError as error:
            raise await self._refused(error, b"", receipt_of(call, caller), call, held.payer) from None

    async def take_one(self, body: bytes, call: Call, caller: Caller, payer: Payer) -> Reply:
        """Accept one event: 201 with its id, or the error."""
        receipt = receipt_of(call, caller)
        try:
            event = await compute(len(body) > _DEAR_BYTES, check_event, body, receipt)
        except ApiError as error:
            raise await self._refused(error.at(BODY), body, receipt, call, payer) from None
        if self._sent.is_anothers(event):
            self._count_duplicates(1, receipt)
        else:
            await self._publish((event,), (pack_event(event, self._publisher.partitions),), payer)
            _ACCEPTED.inc()
            self._tallies.events(receipt.app_id, receipt.received_us, accepted=1)
        warnings = told_of_one(warnings_of([(0, event)], [body], caller.app), call.language)
        return success(201, Tracked(event.event_id, utc_seconds(receipt.received_us // 1_000_000), warnings))

    async def take_many(
        self, body: bytes, reading: Reading, call: Call, caller: Caller, payer: Payer, errors_only: bool
    ) -> Reply:
        """Accept many events: 201 (200 if none was accepted) with a result for each."""
        receipt = receipt_of(call, caller)
        try:
            events = await _split(body, reading)
        except ApiError as error:
            raise await self._refused(error, body, receipt, call, payer) from None
        is_dear = len(body) > _DEAR_BYTES or len(events.pieces) > _DEAR_EVENTS
        at_once = None
        if len(body) <= reading.long_bytes:
            at_once = _accept_at_once(events, receipt, caller.app, self._publisher.partitions, is_quick=True)
        at_once = at_once or await compute(
            is_dear, _accept_at_once, events, receipt, caller.app, self._publisher.partitions
        )
        if at_once is not None and not self._sent.has_anothers(at_once.events):
            await self._store_accepted(at_once.events, at_once.pieces, receipt, payer)
            ids = [event.event_id for event in at_once.events]
            return success(201, all_accepted(ids, errors_only, call.language, at_once.found))
        outcomes = self._sent.judge(await compute(is_dear, judge, events, receipt))
        is_kept = await self._store(outcomes, receipt, call.request_id, payer, is_dear)
        return await compute(is_dear, _batch_reply, outcomes, events, caller.app, call.language, errors_only, is_kept)

    async def _store(
        self, outcomes: Sequence[Outcome], receipt: Receipt, request_id: str, payer: Payer, is_dear: bool
    ) -> bool:
        """Publish what was accepted and record what was refused, at the same time; tell whether all of that is kept."""
        sorted_out = await compute(is_dear, _sort_out, outcomes, receipt, request_id, self._publisher.partitions)
        rows = sorted_out.rejected
        recorded = self._record(rows, sorted_out.rejected_pieces, payer) if rows else None
        await self._store_accepted(sorted_out.accepted, sorted_out.accepted_pieces, receipt, payer)
        is_kept = not rows or await _is_kept(recorded)
        self._count_duplicates(sorted_out.duplicates, receipt)
        return is_kept

    def _count_duplicates(self, count: int, receipt: Receipt) -> None:
        _DUPLICATE.inc(count)
        self._tallies.events(receipt.app_id, receipt.received_us, duplicates=count)

    async def _store_accepted(
        self, events: Sequence[AcceptedEvent], pieces: Sequence[Piece], receipt: Receipt, payer: Payer
    ) -> None:
        if events:
            await self._publish(events, pieces, payer)
        _ACCEPTED.inc(len(events))
        self._tallies.events(receipt.app_id, receipt.received_us, accepted=len(events))

    async def _publish(self, events: Sequence[AcceptedEvent], pieces: Sequence[Piece], payer: Payer) -> None:
        """Publish events with the links they reveal; a pair counts as sent only once it is acknowledged."""
        links = self._links.unknown(events)
        if links:
            await self._publisher.publish(pieces, payer, pack_links(links, self._publisher.partitions))
            self._links.acknowledged(links)
        else:
            await self._publisher.publish(pieces, payer)
        self._sent.published(events)

    async def _refused(self, error: ApiError, payload: bytes, receipt: Receipt, call: Call, payer: Payer) -> ApiError:
        """Record the refusal of a whole request; return the error to answer with, which says if it was not kept."""
        row = await compute(len(payload) > _DEAR_BYTES, rejected_row, error, payload, receipt, call.request_id, index=0)
        pieces = pack_rejects([row], self._publisher.partitions)
        if not await _is_kept(self._record([row], pieces, payer)):
            error.details[IS_KEPT] = False
        return error

    def _record(self, rows: list[RejectedRow], pieces: Sequence[Piece], payer: Payer) -> asyncio.Future[None] | None:
        """Write refusals to their topic if there is room, else return None: they never cost a good event anything."""
        _REJECTED.inc(len(rows))
        self._tallies.events(rows[0].app_id, rows[0].rejected_at_ms * 1000, rejected=len(rows))
        for code, count in Counter(row.code for row in rows).items():
            REJECTED.labels(code).inc(count)
        future = self._publisher.submit_rejects(pieces, payer)
        if future is None:
            REJECTS_DROPPED.inc(len(rows))
        else:
            future.add_done_callback(_drop_counter(len(rows)))
        return future


def _drop_counter(rows: int) -> Callable[[asyncio.Future[None]], None]:
    def count(future: asyncio.Future[None]) -> None:
        if future.cancelled() or future.exception() is not None:
            REJECTS_DROPPED.inc(rows)

    return count


async def _is_kept(recorded: asyncio.Future[None] | None) -> bool:
    """Wait until the broker has the refusals, and tell whether it does."""
    if recorded is None:
        return False
    try:
        await recorded
    except PublishError:
        return False
    return True


def receipt_of(call: Call, caller: Caller) -> Receipt:
    """Make the receipt: once per request, when its body is there."""
    return Receipt(
        app_id=caller.app.app_id,
        key_id=caller.key.key_id,
        history_limit_days=caller.app.history_limit_days,
        received_us=now_us(),
        ip=call.ip,
        user_agent=call.user_agent[:MAX_USER_AGENT_CHARACTERS],
        random_80_bits=call.random_80_bits,
        privacy=privacy_of(caller.app.privacy),
    )


class _SortedOut(NamedTuple):
    """The events of a batch, sorted into accepted and rejected, and packed."""

    accepted: list[AcceptedEvent]
    accepted_pieces: list[Piece]
    rejected: list[RejectedRow]
    rejected_pieces: list[Piece]
    duplicates: int


def _sort_out(outcomes: Sequence[Outcome], receipt: Receipt, request_id: str, partitions: int) -> _SortedOut:
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    rows = [rejected_row(r.error, r.payload, receipt, request_id, r.index) for r in rejected]
    accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    events = [outcome.event for outcome in accepted]
    pieces = pack_events(events, [outcome.size_bytes for outcome in accepted], partitions)
    duplicates = sum(isinstance(outcome, Duplicate) for outcome in outcomes)
    return _SortedOut(events, pieces, rows, pack_rejects(rows, partitions), duplicates)


def _batch_reply(
    outcomes: Sequence[Outcome], events: Events, app: App, language: Language, errors_only: bool, is_kept: bool
) -> Reply:
    result = batch_result(outcomes, language, errors_only, warnings_for(outcomes, events, app), is_kept)
    return success(201 if result.accepted else 200, result)


async def _split(body: bytes, reading: Reading) -> Events:
    if reading.split_quickly is not None and len(body) <= reading.long_bytes:
        with suppress(BrokenJson):
            return reading.split_quickly(body)
    return await compute(len(body) > _DEAR_BYTES, reading.split, body)


class _AtOnce(NamedTuple):
    """A batch with nothing to refuse."""

    events: list[AcceptedEvent]
    pieces: list[Piece]
    found: list[Warned]


def _accept_at_once(
    events: Events, receipt: Receipt, app: App, partitions: int, is_quick: bool = False
) -> _AtOnce | None:
    accepted = accept_all(events, receipt, is_quick=is_quick)
    if accepted is None or (is_quick and len(doubtful(accepted, app)) > _DEAR_EVENTS):
        return None
    pieces = pack_events(accepted, list(map(len, events.pieces)), partitions)
    return _AtOnce(accepted, pieces, _warnings_at_once(accepted, events, app))


def _warnings_at_once(accepted: Sequence[AcceptedEvent], events: Events, app: App) -> list[Warned]:
    if events.has_own_fields:
        return warnings_of(doubtful(accepted, app), None, app)
    return warnings_of(enumerate(accepted), events.pieces, app)


def warnings_for(outcomes: Sequence[Outcome], events: Events, app: App) -> list[Warned]:
    accepted = ((outcome.index, outcome.event) for outcome in outcomes if isinstance(outcome, Accepted))
    return warnings_of(accepted, events.pieces, app)
