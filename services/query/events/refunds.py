"""Outcome of a refund: the conversions of its order it is of, or that the order has not come yet. Pure.

All of it follows from the tables: the refund as it was accepted, and the conversions of its order as they stand.
"""

from typing import Final, Literal

import msgspec

from pipeline.domain.conversions.goals import MAX_ORDER_ID_CHARACTERS, REFUND
from pipeline.domain.conversions.refunds import NOTHING, anchor_ms, reaches, refund_of
from pipeline.domain.rules import DAY_MS
from pipeline.domain.state import Refund
from schemas.control import App
from schemas.events import StreamEvent
from services.query.conversions.answers import conversion_of
from services.query.conversions.statements import ORDER, ConversionFact
from services.query.core.sql import Condition, Statement, Table, columns, equals, newest_first, source, statement
from services.query.events.answers import OrderPart, RefundOutcome
from services.query.events.statements import EventRow

MAX_PARTS: Final = 100
_GIVEN: Final = "JSONExtractRaw(properties, 'order_id')"
ORDER_ID: Final = (
    "multiIf(JSONType(properties, 'order_id') = 'String',"
    f" substringUTF8(JSONExtractString(properties, 'order_id'), 1, {MAX_ORDER_ID_CHARACTERS}),"
    f" match({_GIVEN}, '^-?[0-9]{{1,18}}$'), {_GIVEN}, '')"
)
"""The order an event names, as `pipeline.domain.conversions.goals.order_id_of` reads it; empty: none."""
State = Literal["applied", "pending", "waiting", "no_effect", "no_order"]


def is_refund(event: EventRow) -> bool:
    return event.event_name == REFUND


def awaiting_order() -> Condition:
    """Return the condition for refunds that name an order no conversion is of. Orders are told apart by a hash: all of
    them fit into memory.
    """
    known = source(Table.CONVERSIONS, [Condition("order_id != ''")])
    is_known = f"sipHash64({ORDER_ID}) IN (SELECT sipHash64(order_id) FROM {known})"
    return Condition(f"event_name = '{REFUND}' AND {ORDER_ID} != '' AND NOT {is_known}")


def find_parts(app_id: str, event: EventRow) -> Statement[ConversionFact] | None:
    """Find the newest conversions of the order; None: the refund names none."""
    order_id = _order_id_of(event)
    if not order_id:
        return None
    conditions = equals("order_id", order_id)
    newest = newest_first(ORDER)
    sql = f"SELECT {columns(ConversionFact)} FROM {source(Table.CONVERSIONS, conditions)}{newest}"
    return statement(ConversionFact, app_id, sql, conditions, row_limit=MAX_PARTS)


def outcome(event: EventRow, parts: list[ConversionFact], app: App, zone: str) -> RefundOutcome:
    return {
        "order_id": _order_id_of(event) or None,
        "state": _state(event, parts, app),
        "conversions": [_part(row, zone) for row in parts],
    }


def _state(event: EventRow, parts: list[ConversionFact], app: App) -> State:
    refund = refund_of(_as_accepted(event), app.currency)
    if refund is None:
        return "no_order"
    if not parts:
        return "waiting"
    reached = _reached(refund, parts)
    if any(row.refunded_minor for row in reached):
        return "applied"
    remembered_ms = event.received_us // 1000 - app.history_limit_days * DAY_MS
    is_due = refund.amount != NOTHING and any(row.converted_at_ms >= remembered_ms for row in reached)
    return "pending" if is_due else "no_effect"


def _reached(refund: Refund, parts: list[ConversionFact]) -> list[ConversionFact]:
    """Return the conversions it may take from: each person with conversions of the order gives back its own."""
    valued = [row for row in parts if row.value_minor]
    times_ms: dict[str, list[int]] = {}
    for row in valued:
        times_ms.setdefault(row.person_key, []).append(row.converted_at_ms)
    anchors = {person: anchor_ms(refund, times) for person, times in times_ms.items()}
    return [
        row
        for row in valued
        if reaches(anchors[row.person_key], row.converted_at_ms) and refund.currency in ("", row.currency)
    ]


def _part(row: ConversionFact, zone: str) -> OrderPart:
    found = conversion_of(row, zone)
    return {
        "conversion_id": found["conversion_id"],
        "goal": found["goal"],
        "converted_at": found["converted_at"],
        "value": found["value"],
        "value_issue": found["value_issue"],
        "refunded": found["refunded"],
        "currency": found["currency"],
    }


def _order_id_of(event: EventRow) -> str:
    refund = refund_of(_as_accepted(event), "")
    return refund.order_id if refund else ""


def _as_accepted(event: EventRow) -> StreamEvent:
    return StreamEvent(
        "",
        event.event_id,
        event.event_name,
        event.timestamp_ms,
        event.received_us,
        properties=msgspec.Raw(event.properties.encode()),
    )
