"""Safeguards against reading another app's rows, or a row twice."""

import msgspec
import pytest

from services.query.core.sql import (
    Condition,
    Horizon,
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
from services.query.core.times import TimeRange


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
    assert Statement(Horizon, raw, {}, reads_raw=True).sql == raw
    for sql, reads_raw in ((raw, False), ("SELECT * FROM events", True), ("SELECT * FROM events WHERE x", True)):
        with pytest.raises(AssertionError, match="without its app"):
            Statement(Horizon, sql, {}, reads_raw=reads_raw)


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
    both = within("start_ms", TimeRange(1, 2))
    assert [condition.sql for condition in both] == ["start_ms >= {from_ms:Int64}", "start_ms < {to_ms:Int64}"]
