"""Statements of webhook deliveries: each with the log of its attempts. Pure.

A delivery is the rows of its attempts: what never changes about it stands in each of them, its state is that of the
newest.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from services.query.core.lists import Page
from services.query.core.sql import (
    Condition,
    SortKey,
    Statement,
    Table,
    equals,
    newest_first,
    older_than,
    one_of,
    source,
    statement,
)
from services.query.core.sql import within as within_range
from services.query.core.times import ALL_TIME, TimeRange

ORDER: Final = SortKey("created_at_ms", "delivery_id")

MAX_ATTEMPTS: Final = 50
"""Maximum number of attempts listed of a delivery, the newest."""


@dataclass(frozen=True)
class DeliveryFilter:
    endpoint_id: str | None = None
    event_types: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    time_range: TimeRange = ALL_TIME


_Attempt = tuple[int, int, str, int, int, str, str, int, bool]
_ATTEMPT: Final = (
    "attempted_at_ms, attempt, outcome, duration_ms, status, error, response_head, next_attempt_ms, is_resent"
)
_NAMES: Final = "delivery_id, endpoint_id, event_type, fact_id, created_at_ms"
"""Columns with the same value in every row of a delivery."""


class DeliveryFact(msgspec.Struct):
    delivery_id: str
    endpoint_id: str
    event_type: str
    fact_id: str
    created_at_ms: int
    sequence_number: int
    attempt_log: list[_Attempt]
    """Log of attempts, oldest first."""
    body: str = ""


def list_deliveries(app_id: str, wanted: DeliveryFilter, page: Page) -> Statement[DeliveryFact]:
    conditions = [
        *equals("endpoint_id", wanted.endpoint_id),
        *one_of("event_type", wanted.event_types),
        *within_range("created_at_ms", wanted.time_range),
        *older_than(ORDER, page.after),
    ]
    # All of what may be on the page is looked at for it, as the table is not in order of time; but not what came of it.
    having, bound = _having(wanted.statuses)
    newest = newest_first(ORDER)
    ids = f"SELECT delivery_id FROM {source(Table.WEBHOOK_ATTEMPTS, conditions)} GROUP BY delivery_id, created_at_ms"
    on_page = Condition(f"delivery_id IN ({ids}{having}{newest})")
    sql = _select([on_page], "") + newest
    return statement(DeliveryFact, app_id, sql, conditions, row_limit=page.row_limit, **bound)


def find_delivery(app_id: str, delivery_id: str) -> Statement[DeliveryFact]:
    conditions = [Condition("delivery_id = {delivery_id:String}", {"delivery_id": delivery_id})]
    return statement(DeliveryFact, app_id, _select(conditions, ", any(payload) AS body"), conditions)


def _select(conditions: list[Condition], more: str) -> str:
    return (
        f"SELECT {_NAMES}, max(sequence) AS sequence_number, "
        f"arraySlice(arraySort(groupArray(tuple({_ATTEMPT}))), -{MAX_ATTEMPTS}) AS attempt_log{more} "
        f"FROM {source(Table.WEBHOOK_ATTEMPTS, conditions)} GROUP BY {_NAMES}"
    )


def _having(statuses: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    if not statuses:
        return "", {}
    newest = "argMax(outcome, tuple(attempted_at_ms, attempt))"
    return f" HAVING {newest} IN {{status_in:Array(String)}}", {"status_in": list(statuses)}
