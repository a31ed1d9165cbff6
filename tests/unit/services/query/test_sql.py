"""Safeguards against reading another app's rows, or a row twice."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import msgspec
import pytest

from schemas.facts import Model
from services.query import (
    attribution,
    attribution_path,
    conversion_report,
    conversions,
    costs,
    event_detail,
    events,
    funnels,
    people,
    performance,
    rejected,
    users,
)
from services.query.counted import Counted
from services.query.credits import Dimension
from services.query.cursors import Position
from services.query.pages import Page
from services.query.periods import Granularity
from services.query.sql import (
    Condition,
    Edge,
    Listing,
    QueryLimits,
    Statement,
    Table,
    equals,
    one_of,
    raw_source,
    source,
    statement,
    within,
)
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


def test_rows_as_they_were_written_are_for_finding_edges_alone() -> None:
    raw = f"SELECT count() AS found, 1 AS from_ms FROM {raw_source(Table.EVENTS)}"
    assert Statement(Edge, raw, {}, reads_raw=True).sql == raw
    for sql, reads_raw in ((raw, False), ("SELECT * FROM events", True), ("SELECT * FROM events WHERE x", True)):
        with pytest.raises(AssertionError, match="without its app"):
            Statement(Edge, sql, {}, reads_raw=reads_raw)


def test_limits_are_named() -> None:
    clause = QueryLimits(1.5, 10, 20).clause()
    for limit in ("max_execution_time = 1.5", "max_rows_to_read = 10", "max_memory_usage = 20", "max_result_rows"):
        assert limit in clause


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


def both_steps(listing: Listing[Any]) -> Iterator[Statement[Any]]:
    yield listing.edge(listing.first_reach)
    yield listing.rows(Edge(600, 5))
    yield listing.rows(Edge(2, 5, [6, 5], [HOSTILE, "x"]))


def every_statement() -> Iterator[Statement[Any]]:
    """Each statement there is, with everything a caller can put into it."""
    app = "alpha"
    place = events.SessionPlace(HOSTILE, 1, 2)
    wanted = events.EventFilter(
        (HOSTILE,), HOSTILE, HOSTILE, (HOSTILE,), place, RANGE, ((HOSTILE, HOSTILE), ("n", "1.5"))
    )
    yield from both_steps(events.list_events(app, wanted, PAGE))
    yield from both_steps(events.list_events(app, events.EventFilter(), Page(1)))
    of_nobody = events.EventFilter(
        (HOSTILE,), time_range=RANGE, properties=((HOSTILE, HOSTILE), ("n", "1.5"), ("z", "null"))
    )
    yield from both_steps(events.list_events(app, of_nobody, PAGE))
    yield events.session_place(app, HOSTILE)
    event = msgspec.convert(
        dict.fromkeys(event_detail.EventPlaceRow.__struct_fields__, HOSTILE)
        | {"timestamp_ms": 1, "received_us": 1, "original_timestamp_ms": 0, "is_bot": False, "stored_at_ms": 1},
        event_detail.EventPlaceRow,
    )
    yield event_detail.find_event(app, HOSTILE)
    yield event_detail.find_session(app, event, HOSTILE)
    yield event_detail.find_conversions(app, event)
    yield event_detail.find_delivered(app, (HOSTILE,))
    yield event_detail.find_attributed(app, (HOSTILE,))
    yield event_detail.count_marks(app, HOSTILE)
    asked_for = conversions.ConversionFilter((HOSTILE,), HOSTILE, RANGE, HOSTILE)
    yield from both_steps(conversions.list_conversions(app, asked_for, PAGE))
    yield conversions.find_conversion(app, HOSTILE)
    yield attribution_path.find_attribution(app, HOSTILE)
    fact = msgspec.convert(
        dict.fromkeys(conversions.ConversionFact.__struct_fields__, HOSTILE)
        | {
            "converted_at_ms": 1,
            "value_minor": 1,
            "refunded_minor": 0,
            "goal_version": 1,
            "path_channels": [],
            "is_bot": False,
        },
        conversions.ConversionFact,
    )
    yield attribution_path.touches_before(app, fact)
    yield rejected.list_rejected(app, rejected.RejectedFilter((HOSTILE,), HOSTILE, RANGE), PAGE)
    yield from both_steps(users.list_users(app, users.UserFilter(RANGE), PAGE))
    yield from both_steps(users.list_users(app, users.UserFilter(), Page(1)))
    yield users.find_user(app, HOSTILE)
    yield users.find_persons(app, HOSTILE)
    yield users.find_seen_with(app, HOSTILE)
    yield people.owners_of(app, HOSTILE)
    yield people.links_of(app, [HOSTILE])
    all_counted = (Counted(HOSTILE, (HOSTILE,)), Counted(HOSTILE, (), (HOSTILE,), (HOSTILE,)), Counted("CNY"))
    for counted in all_counted:
        yield conversion_report.conversion_rows(app, conversion_report.ConversionQuery(counted, RANGE))
    yield users.find_refunds(app, [HOSTILE], False)
    yield costs.list_costs(app, costs.CostFilter(HOSTILE, RANGE), PAGE)
    yield funnels.funnel_row(app, funnels.FunnelQuery((HOSTILE, "b", HOSTILE), 60, RANGE))
    for dimension in Dimension:
        for counted in all_counted:
            yield attribution.attribution_rows(
                app, attribution.AttributionQuery(dimension, tuple(Model), counted, RANGE)
            )
        for granularity, has_previous, counted in product((None, *Granularity), (False, True), all_counted):
            yield performance.performance_rows(
                app,
                performance.PerformanceQuery(
                    dimension, (Model.LINEAR,), counted, "Asia/Tokyo", granularity, RANGE, has_previous
                ),
            )


def test_nothing_a_caller_sends_is_in_the_text_of_any_statement() -> None:
    made = list(every_statement())
    assert len(made) > 70
    for built in made:
        assert "DROP" not in built.sql
        assert built.parameters["app_id"] == "alpha"


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
