"""Statement of the list of alerts: when each rule began to hold, and when it stopped. Pure."""

from dataclasses import dataclass
from typing import Final

from schemas.facts import AlertRow
from services.query.core.lists import Page
from services.query.core.sql import SortKey, Statement, Table, equals, newest_page, older_than, one_of, within
from services.query.core.times import ALL_TIME, TimeRange

ORDER: Final = SortKey("window_end_ms", "alert_id")


@dataclass(frozen=True)
class AlertFilter:
    rule_id: str | None = None
    metrics: tuple[str, ...] = ()
    state: str | None = None
    time_range: TimeRange = ALL_TIME


def list_alerts(app_id: str, wanted: AlertFilter, page: Page) -> Statement[AlertRow]:
    conditions = [
        *equals("rule_id", wanted.rule_id),
        *one_of("metric", wanted.metrics),
        *equals("state", wanted.state),
        *within("window_end_ms", wanted.time_range),
        *older_than(ORDER, page.after),
    ]
    return newest_page(AlertRow, app_id, Table.ALERTS, ORDER, conditions, page.row_limit)
