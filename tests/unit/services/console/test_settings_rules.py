"""Rules behind the pages of settings: matches of a goal, moves of channel rules, gaps of costs, bodies of exports."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.control import UnknownRecord
from pipeline.control.channel_rules import moved_rule, with_rule, without_rule
from pipeline.control.goal_text import condition_text, make_condition, parse_value, value_text
from pipeline.domain.cost_rows import REASONS
from schemas.control import App, ChannelRule, ChannelSettings, Goal
from schemas.events import AcceptedEvent
from services.console import setting_words
from services.console.channel_impact import impact_of
from services.console.cost_overview import by_source, gaps_of
from services.console.export_form import FORMATS, REPORTS, body_of
from services.console.goal_form import goal_of, matches_of, rows_of, values_of
from services.query.exports.parameters import parse_export

APP = App("shop", "Shop")
DAY = date(2026, 1, 10)


def event(name: str, properties: dict[str, Any], **more: Any) -> AcceptedEvent:
    raw = msgspec.Raw(msgspec.json.encode(properties))
    return AcceptedEvent("shop", "e1", name, 1_000, 1_000_000, "u", properties=raw, **more)


@given(st.one_of(st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.text(max_size=20)))
def test_a_value_is_read_as_it_was_written(value: Any) -> None:
    assert parse_value(value_text(value)) == value


@pytest.mark.parametrize("text", ["[" * 3_000, "9" * 5_000, "1e999", "\ud800", "{"])
def test_what_cannot_be_read_as_a_value_is_a_text(text: str) -> None:
    assert parse_value(text) == text


def test_a_form_gives_back_the_goal_it_was_made_of() -> None:
    goal = Goal("big", "Big", "macro", "purchase", ("revenue",), (make_condition("revenue", "gte", "100"),))
    assert goal_of("big", values_of(goal), rows_of(goal)) == goal
    assert condition_text(goal.conditions[0]) == "revenue gte 100"


def test_matches_leave_out_bots_and_tell_of_values_that_cannot_be_read() -> None:
    goal = Goal("big", "Big", "macro", "purchase", ("revenue",), (make_condition("revenue", "gte", "100"),))
    events = [
        event("purchase", {"revenue": 150}),
        event("purchase", {"revenue": 99}),
        event("purchase", {"revenue": 200}, is_bot=True),
        event("purchase", {"revenue": 300, "currency": "XXXX"}),
        event("page_view", {"revenue": 500}),
    ]
    found = matches_of(goal, APP, events, True)
    assert (found.looked_at, found.matched, found.bots, found.without_value) == (4, 2, 1, 1)
    assert found.values == {"CNY": 150}


def rules(*names: str) -> ChannelSettings:
    return ChannelSettings(rules=tuple(ChannelRule(name, "email", source=name) for name in names))


def names_of(settings: ChannelSettings) -> list[str]:
    return [rule.name for rule in settings.rules]


def test_rules_are_placed_moved_and_taken_away_in_their_order() -> None:
    known = rules("a", "b", "c")
    new = ChannelRule("n", "sms", source="n")
    assert names_of(with_rule(known, new)) == ["a", "b", "c", "n"]
    assert names_of(with_rule(known, new, "b")) == ["a", "n", "b", "c"]
    assert names_of(with_rule(known, replace(new, name="b"))) == ["a", "b", "c"]
    assert names_of(moved_rule(known, "a", -1)) == ["a", "b", "c"]
    assert names_of(moved_rule(known, "a", 1)) == ["b", "a", "c"]
    assert names_of(moved_rule(known, "c", -1)) == ["a", "c", "b"]
    assert names_of(without_rule(known, "b")) == ["a", "c"]
    for change in (lambda: without_rule(known, "x"), lambda: with_rule(known, new, "x")):
        with pytest.raises(UnknownRecord):
            change()


def test_an_impact_counts_arrivals_alone() -> None:
    then = ChannelSettings(rules=(ChannelRule("partner", "affiliate", referrer="*.partner.example"),))
    events = [
        event("page_view", {}, page_url="https://a.example/", referrer="https://x.partner.example/"),
        event("page_view", {}, page_url="https://a.example/", referrer="https://other.example/"),
        event("button_click", {}),
    ]
    found = impact_of(events, ChannelSettings(), then)
    assert (found.arrivals, found.moved) == (2, 1)
    assert found.moves == [("referral", "affiliate", 1)]


@given(st.sets(st.integers(0, 20), min_size=1))
def test_gaps_and_days_make_up_the_whole(offsets: set[int]) -> None:
    days, last = {DAY + timedelta(days=one) for one in offsets}, DAY + timedelta(days=20)
    missing = {
        first + timedelta(days=one) for first, end in gaps_of(days, last) for one in range((end - first).days + 1)
    }
    assert missing | days == {min(days) + timedelta(days=one) for one in range((last - min(days)).days + 1)}
    assert not missing & days


def test_costs_are_summed_by_source_and_currency() -> None:
    items = [
        {"date": "2026-01-10", "source": source, "currency": currency, "cost": cost}
        for source, currency, cost in (("baidu", "CNY", 2), ("baidu", "USD", 3), ("baidu", "CNY", 4), (None, "CNY", 1))
    ]
    none, baidu = by_source(items, DAY)
    assert (none.source, none.sums) == ("", {"CNY": 1})
    assert baidu.sums == {"CNY": 6, "USD": 3}
    assert baidu.gaps == []


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_form_of_an_export_is_one_the_api_takes(report: str, file_format: str) -> None:
    form = {"report": report, "format": file_format, "compression": "gzip", "from": "2026-01-01", "to": "2026-01-31"}
    form |= {
        "goal": "purchase",
        "model": "linear",
        "dimension": "source",
        "include_bots": "true",
        "channel": "email",
        "leave_out": "direct",
    }
    assert parse_export(msgspec.json.encode(body_of(form))).report == report


def test_every_reason_of_a_wrong_row_is_in_the_catalogue() -> None:
    assert sorted(setting_words.COST_PROBLEMS) == sorted(REASONS)
