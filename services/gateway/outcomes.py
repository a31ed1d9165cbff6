"""Judge the events of one request: which are accepted, which repeat one before them, which are refused and why.
Pure.

Where a repeat of an `event_id` is caught. An id names one event of its app, and is looked for among the events of its
person.

    in one batch                      here: answered `duplicate`, and only the first is published
    across requests                   the stream (`pipeline.domain.sessions.event_ids`): answered as accepted,
                                      published, then marked `duplicate` and counted nowhere
    across gateway replicas           the stream: a person's events meet in one partition, whoever took them
    after a restart of a gateway      the stream: it does not rely on what a gateway remembers
    after a restart of a worker       the stream: the ids seen are part of the person's state, which is restored
    before and after a login          the stream, when it unites the two journeys (`pipeline.domain.identity.twins`)
    by two persons that stay two      `recent_ids`, in the process that took the first, as long as it remembers:
                                      answered `duplicate`. Else both are counted, each by its person
    by our own producer's retries     Kafka: the producer is idempotent, a record is appended once
    by the loader, reading again      ClickHouse: `events` replaces rows of one app, time and id; the first stands
    after more than 7 days, or past   nobody: it is a new event, unless its time is the same
      2,048 newer ids of its person

So a gateway answers a repeat in another request with 201 as it did the first, and the caller need not tell them apart.
In `events` one row remains: a repeat with the first's time falls together with it, and one with another time (a clock
corrected anew, say) is taken back by its mark. Before its mark is loaded such a repeat may be seen for about a second.
"""

import msgspec
import orjson

from schemas.events import AcceptedEvent
from schemas.facts import RejectedRow
from schemas.ids import reject_id
from schemas.rejected_payload import kept_text
from services.gateway.body_split import BODY, Events
from services.gateway.event_fields import decode_event
from services.gateway.validate import Checked, Receipt, check_fields, check_size, stamp
from services.web.errors import ApiError


class Accepted(msgspec.Struct, gc=False):
    index: int
    event: AcceptedEvent
    size_bytes: int
    """Size of what the caller sent."""


class Duplicate(msgspec.Struct, gc=False):
    """Outcome of an event whose id stands on an accepted event before it in the same request."""

    index: int
    event_id: str


class Rejected(msgspec.Struct, gc=False):
    index: int
    event_id: str | None
    error: ApiError
    payload: bytes


Outcome = Accepted | Duplicate | Rejected


def judge(events: Events, receipt: Receipt) -> list[Outcome]:
    """Return one outcome per event, in order."""
    verdicts: list[Verdict] = []
    seen: set[str] = set()
    for index, raw in enumerate(map(bytes, events.pieces)):
        verdict: Verdict = _verdict(events, index, raw, receipt)
        if isinstance(verdict, tuple):
            event_id = verdict[1]
            if event_id in seen:
                verdict = Duplicate(index, event_id)
            seen.add(event_id)
        verdicts.append(verdict)
    return _stamped(verdicts, events, receipt)


Verdict = Checked | Duplicate | Rejected


def _verdict(events: Events, index: int, raw: bytes, receipt: Receipt) -> Checked | Rejected:
    try:
        check_size(raw)
        decoded = events.decoded[index] if events.decoded is not None else decode_event(raw)
        return check_fields(decoded, raw, receipt, index, events.is_plain)
    except ApiError as error:
        placed = error.under(f"events[{index}]") if events.is_batch else error.at(BODY)
        return Rejected(index, _caller_event_id(raw), placed, raw)


def _stamped(verdicts: list[Verdict], events: Events, receipt: Receipt) -> list[Outcome]:
    pieces = [piece for piece, verdict in zip(events.pieces, verdicts, strict=True) if isinstance(verdict, tuple)]
    may_drop = receipt.privacy.may_drop_any(pieces)
    accepted = iter(stamp([verdict for verdict in verdicts if isinstance(verdict, tuple)], receipt, may_drop))
    return [
        Accepted(index, next(accepted), len(events.pieces[index])) if isinstance(verdict, tuple) else verdict
        for index, verdict in enumerate(verdicts)
    ]


def _caller_event_id(raw: bytes) -> str | None:
    """Return the id a refused event carries, so that its sender can tell which one it was."""
    try:
        given = orjson.loads(raw)["event_id"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    return given if isinstance(given, str) and len(given) <= 64 else None


def rejected_row(error: ApiError, payload: bytes, receipt: Receipt, request_id: str, index: int) -> RejectedRow:
    """Build the row of a refusal: `request_id` and `index` are where the event stood."""
    place = (receipt.app_id, request_id, str(receipt.received_us), str(index))
    return RejectedRow(
        app_id=receipt.app_id,
        reject_id=reject_id(*place),
        rejected_at_ms=receipt.received_us // 1000,
        stage="gateway",
        code=error.code.value,
        field=error.field,
        reason=error.reason.en if error.reason else error.code.message("en"),
        payload=receipt.privacy.payload(kept_text(payload)),
        key_id=receipt.key_id,
    )
