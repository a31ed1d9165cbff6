"""What makes it impossible to read another app's rows, or a row twice."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from schemas.facts import Model
from services.query import (
    attribution,
    attribution_path,
    conversion_report,
    conversions,
    event_detail,
    events,
    performance,
    rejected,
    users,
)
from services.query.credits import Dimension
from services.query.cursors import Position
from services.query.pages import Page
from services.query.periods import Granularity
from services.query.sql import Condition, Statement, Table, equals, one_of, source, statement, within
from services.query.times import TimeRange

RANGE = TimeRange(1, 2)
PAGE = Page(10, Position(5, "x"))
HOSTILE = "'; DROP TABLE events; --"


class Row(msgspec.Struct):
    event_id: str


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT * FROM events",
        "SELECT * FROM events FINAL",
        "SELECT * FROM events WHERE app_id = {app_id:String}",
        "SELECT * FROM events FINAL WHERE app_id = 'beta'",
        "SELECT * FROM events FINAL WHERE app_id = {app_id:String} AND x IN (SELECT x FROM touches)",
        "SELECT * FROM (SELECT * FROM sessions FINAL WHERE app_id = {app_id:String}) JOIN conversions USING (x)",
        "select * from\n events final where app_id != ''",
    ],
)
def test_a_statement_without_its_app_cannot_be_made(sql: str) -> None:
    with pytest.raises(AssertionError, match="without its app"):
        Statement(Row, sql, {})


def test_a_parameter_cannot_be_bound_twice() -> None:
    conditions = [Condition("x = {x:String}", {"x": "1"}), Condition("y = {x:String}", {"x": "2"})]
    with pytest.raises(AssertionError, match="bound twice"):
        statement(Row, "alpha", f"SELECT event_id FROM {source(Table.EVENTS, conditions)}", conditions)
    with pytest.raises(AssertionError, match="bound twice"):
        statement(Row, "alpha", f"SELECT event_id FROM {source(Table.EVENTS)}", [Condition("1", {"app_id": "beta"})])


def test_conditions() -> None:
    assert equals("user_id", None) == []
    assert one_of("goal", ()) == []
    assert within("start_ms", TimeRange()) == []
    assert one_of("goal", ("a", "b"))[0].parameters == {"goal_in": ["a", "b"]}
    both = within("start_ms", RANGE)
    assert [condition.sql for condition in both] == ["start_ms >= {from_ms:Int64}", "start_ms < {to_ms:Int64}"]


def every_statement() -> Iterator[Statement[Any]]:
    """Each statement there is, with everything a caller can put into it."""
    app = "alpha"
    place = events.SessionPlace(HOSTILE, 1, 2)
    wanted = events.EventFilter(
        (HOSTILE,), HOSTILE, HOSTILE, (HOSTILE,), place, RANGE, ((HOSTILE, HOSTILE), ("n", "1.5"))
    )
    yield events.list_events(app, wanted, PAGE)
    yield events.list_events(app, events.EventFilter(), Page(1))
    yield events.session_place(app, HOSTILE)
    event = msgspec.convert(
        dict.fromkeys(event_detail.EventPlaceRow.__struct_fields__, HOSTILE)
        | {"timestamp_ms": 1, "received_us": 1, "original_timestamp_ms": 0, "is_bot": False},
        event_detail.EventPlaceRow,
    )
    yield event_detail.find_event(app, HOSTILE)
    yield event_detail.find_session(app, event)
    yield event_detail.find_conversions(app, HOSTILE)
    yield event_detail.find_attributed(app, (HOSTILE,))
    yield event_detail.count_marks(app, HOSTILE)
    yield conversions.list_conversions(app, conversions.ConversionFilter((HOSTILE,), HOSTILE, RANGE, HOSTILE), PAGE)
    yield conversions.find_conversion(app, HOSTILE)
    yield attribution_path.find_attribution(app, HOSTILE)
    fact = msgspec.convert(
        dict.fromkeys(conversions.ConversionFact.__struct_fields__, HOSTILE)
        | {"converted_at_ms": 1, "value_minor": 1, "refunded_minor": 0, "goal_version": 1, "path_channels": []},
        conversions.ConversionFact,
    )
    yield attribution_path.touches_before(app, fact)
    yield rejected.list_rejected(app, rejected.RejectedFilter((HOSTILE,), HOSTILE, RANGE), PAGE)
    yield users.list_users(app, users.UserFilter((HOSTILE,), RANGE), PAGE)
    yield users.find_persons(app, HOSTILE)
    asked = conversion_report.ConversionQuery(HOSTILE, (HOSTILE,), RANGE)
    yield conversion_report.goal_numbers(app, asked)
    yield conversion_report.top_paths(app, asked)
    yield conversion_report.active_users(app, asked)
    for dimension in Dimension:
        credit = attribution.AttributionQuery(dimension, tuple(Model), HOSTILE, (HOSTILE,), RANGE)
        yield attribution.credit_rows(app, credit)
        yield attribution.attributed_totals(app, credit)
        for granularity in (None, *Granularity):
            report = performance.PerformanceQuery(
                dimension, (Model.LINEAR,), HOSTILE, HOSTILE, granularity, (HOSTILE,), RANGE
            )
            yield performance.touch_numbers(app, report)
            yield performance.session_numbers(app, report)
            yield performance.conversion_counts(app, report)
            yield performance.credit_rows(app, report)


def test_nothing_a_caller_sends_is_in_the_text_of_any_statement() -> None:
    made = list(every_statement())
    assert len(made) > 100
    for built in made:
        assert "DROP" not in built.sql
        assert built.parameters["app_id"] == "alpha"
        assert "max_execution_time" in built.sql
        assert "max_result_rows" in built.sql


def test_every_parameter_named_is_bound_and_every_one_bound_is_named() -> None:
    for built in every_statement():
        named = set(re.findall(r"\{(\w+):\w+(?:\(\w+\))?\}", built.sql))
        assert named == set(built.parameters), built.sql


@pytest.mark.parametrize(
    ("value", "has_number"), [("19.9", True), ("-3", True), ("1e5", False), ("nan", False), ("", False)]
)
def test_a_property_is_compared_as_a_number_only_where_it_is_one(value: str, has_number: bool) -> None:
    condition = events.property_condition(0, "price", value)
    assert ("property_0_number" in condition.parameters) == has_number
