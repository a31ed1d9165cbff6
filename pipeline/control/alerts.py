"""Alert rules in the control plane. A rule that is removed stays in the table, so that its alerts can be told of."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from pipeline.control.apps import app_row
from pipeline.control.audit import AuditEntry, open_writer
from pipeline.control.errors import InvalidRecord, UnknownRecord, message, require, writable
from pipeline.control.records import record_of, values_of
from pipeline.control.tables import ALERT_RULES
from schemas.control import AlertMetric, AlertRule, Comparison
from schemas.events import EVENT_NAME_PATTERN

MAX_RULES: Final = 100
"""Maximum number of rules of an app."""
MAX_TRAILING_WINDOWS: Final = 60
DAY_SECONDS: Final = 86_400
WINDOW_MINUTES: Final = (1, 5, 10, 15, 30, 60, 120, 180, 240, 360, 480, 720, 1440)
_WITH_SUBJECT: Final = frozenset({AlertMetric.EVENTS, AlertMetric.CONVERSIONS, AlertMetric.VALUE})


def rule_name(metric: AlertMetric, subject: str, comparison: Comparison, threshold: float) -> str:
    """Return the name of a rule that was given none."""
    return " ".join(filter(None, (metric.value, subject, comparison.replace("_", " "), f"{threshold:g}")))


def new_rule_id() -> str:
    return "rule_" + secrets.token_hex(8)


def check_rule(rule: AlertRule) -> None:
    """Raise `InvalidRecord` naming the first field that is not acceptable."""
    require(0 < len(rule.name) <= 200, "name", rule.name, "1 to 200 characters")
    require(math.isfinite(rule.threshold), "threshold", rule.threshold, "a number")
    require(rule.threshold >= 0, "threshold", rule.threshold, "0 or more")
    minutes = ", ".join(map(str, WINDOW_MINUTES))
    is_known = rule.window_seconds % 60 == 0 and rule.window_seconds // 60 in WINDOW_MINUTES
    given = f"{writable(rule.window_seconds)} s"
    require(is_known, "window", given, message("one of %(minutes)s minutes", minutes=minutes))
    trailing = rule.trailing_windows
    require(
        1 <= trailing <= MAX_TRAILING_WINDOWS,
        "trailing windows",
        trailing,
        message("1 to %(most)s", most=MAX_TRAILING_WINDOWS),
    )
    if rule.subject:
        is_told = rule.metric in _WITH_SUBJECT
        none = message("none, as %(metric)s is about all events", metric=rule.metric)
        require(is_told, "event name or goal", rule.subject, none)
        is_name = bool(EVENT_NAME_PATTERN.match(rule.subject))
        require(is_name, "event name or goal", rule.subject, "snake_case, at most 64 characters")


class AlertRules:
    """Reads and writes rules in the database at `dsn` (a SQLAlchemy URL). Blocking; one transaction a method."""

    def __init__(self, dsn: str, audit: AuditEntry | None = None) -> None:
        self._writer = open_writer(dsn, audit, creates=False)

    def close(self) -> None:
        self._writer.dispose()

    def add(self, rule: AlertRule, now_ms: int) -> None:
        check_rule(rule)
        with self._writer.begin() as connection:
            app_row(connection, rule.app_id)
            is_there = (ALERT_RULES.c.app_id == rule.app_id) & ALERT_RULES.c.removed_at_ms.is_(None)
            if connection.execute(select(func.count()).where(is_there)).scalar_one() >= MAX_RULES:
                raise InvalidRecord(
                    "app %(app)r has %(most)s alert rules, which is the most there can be",
                    app=rule.app_id,
                    most=MAX_RULES,
                )
            connection.execute(insert(ALERT_RULES).values(values_of(rule) | {"created_at_ms": now_ms}))

    def rules(self, app_id: str | None = None) -> list[AlertRule]:
        """Oldest first; of one app or of all."""
        with self._writer.begin() as connection:
            return [rule for rule in load_rules(connection) if app_id in (None, rule.app_id)]

    def pause(self, rule_id: str) -> AlertRule:
        """Pause a rule: no window is judged any more."""
        return self._update(rule_id, {"is_paused": True})

    def resume(self, rule_id: str, now_ms: int) -> AlertRule:
        """Windows that begin from now on are judged. The rule begins anew, also if it held when it was paused."""
        return self._update(rule_id, {"is_paused": False, "active_from_ms": now_ms})

    def remove(self, rule_id: str, now_ms: int) -> None:
        self._update(rule_id, {"removed_at_ms": now_ms})

    def _update(self, rule_id: str, values: Mapping[str, Any]) -> AlertRule:
        with self._writer.begin() as connection:
            found = connection.execute(select(ALERT_RULES).where(_is_rule(rule_id))).mappings().one_or_none()
            if found is None:
                raise UnknownRecord("there is no alert rule %(id)r", id=rule_id)
            connection.execute(update(ALERT_RULES).where(_is_rule(rule_id)).values(dict(values)))
            kept = {name: value for name, value in values.items() if name != "removed_at_ms"}
            return replace(record_of(AlertRule, found), **kept)


def load_rules(connection: Connection) -> tuple[AlertRule, ...]:
    """Load the rules for a snapshot: paused ones too, removed ones not."""
    query = select(ALERT_RULES).where(ALERT_RULES.c.removed_at_ms.is_(None))
    query = query.order_by(ALERT_RULES.c.created_at_ms, ALERT_RULES.c.rule_id)
    return tuple(record_of(AlertRule, row) for row in connection.execute(query).mappings())


def _is_rule(rule_id: str) -> ColumnElement[bool]:
    return (ALERT_RULES.c.rule_id == rule_id) & ALERT_RULES.c.removed_at_ms.is_(None)
