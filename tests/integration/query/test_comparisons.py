"""Period against period, spend against value, step after step; each against the same in plain Python."""

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from query_world import DAY_MS, FIRST_MS, World, make_world

from pipeline.domain.cost_rows import read_costs, with_markers
from pipeline.runtime.clickhouse import ClickHouse
from schemas.control import App
from schemas.events import AcceptedEvent
from schemas.facts import encode_rows
from services.query.core.times import utc_text

SPEND = App("spend", "spend")
"""Days in Asia/Shanghai, money in CNY."""
SHANGHAI_MS = 8 * 3_600_000
WEEK = {"from": "2024-01-15", "to": "2024-01-21"}


async def test_the_period_before(ask: Any) -> None:
    for more in ({}, {"granularity": "day"}, {"dimension": "campaign", "goal": "purchase"}):
        both = await ask("reports/performance", **WEEK, compare="previous_period", **more)
        now = await ask("reports/performance", **WEEK, **more)
        before = await ask("reports/performance", **{"from": "2024-01-08", "to": "2024-01-14"}, **more)
        assert [item | {"change": None} for item in both["items"]] == now["items"]
        check_change_of_rows(both["items"], before["items"], more.get("granularity"))
        assert both["totals"] == now["totals"]
        assert both["previous"]["items"] == before["items"]
        assert both["previous"]["totals"] == before["totals"]
        assert (both["previous"]["from"], both["previous"]["to"]) == (
            "2024-01-08T00:00:00.000+08:00", "2024-01-15T00:00:00.000+08:00"
        )  # fmt: skip
        assert now["previous"] is now["change"] is None
        check_change(both["change"], now["totals"], before["totals"])


async def test_a_report_narrowed_to_a_channel_adds_up_to_its_row(ask: Any) -> None:
    whole = await ask("reports/performance", **WEEK, dimension="channel")
    for row in filter(lambda row: row["key"], whole["items"]):
        of_row = await ask("reports/performance", **WEEK, dimension="source", channel=row["key"])
        totals = of_row["totals"]
        for name in ("touches", "sessions", "users", "conversions", "value", "conversion_rate", "spend"):
            assert totals[name] == row[name], (row["key"], name)
        for name in ("touches", "sessions", "conversions", "value"):
            assert sum(item[name] for item in of_row["items"]) == row[name]
        for model, credit in row["models"].items():
            # Rows of a report are rounded together, so that they add up: the last digit may differ.
            assert abs(totals["models"][model]["credited_value"] - credit["credited_value"]) <= Decimal("0.01")
    nothing = await ask("reports/performance", **WEEK, dimension="source", channel="') OR 1 = ('1")
    assert nothing["items"] == []


async def test_content_is_that_of_the_event_a_touch_was_made_from(ask: Any, alpha: World) -> None:
    contents = {event.event_id: content_of(event) for event in alpha.events}
    assert {"", "ad 1", "ad 2"} <= set(contents.values())
    for campaign in (None, "brand"):
        given = {"campaign": campaign} if campaign else {}
        report = await ask("reports/performance", dimension="content", **given)
        touches = Counter(contents[one.touch_id] for one in alpha.touches if campaign in (None, one.campaign))
        assert {row["key"] or "": row["touches"] for row in report["items"] if row["touches"]} == touches
        whole = await ask("reports/performance", **given)
        for model, credit in report["totals"]["models"].items():
            for name in ("credited_conversions", "credited_value"):
                assert credit[name] == whole["totals"]["models"][model][name]
                assert sum(row["models"][model][name] for row in report["items"]) == credit[name]
        assert report["totals"]["conversions"] == whole["totals"]["conversions"]
        assert all(row["sessions"] is row["conversions"] is row["spend"] is None for row in report["items"])
        for content in touches:
            behind = await ask("conversions", content=content, limit=1000, **given)
            assert {item["conversion_id"] for item in behind["items"]} == {
                row.conversion_id
                for row in alpha.attributions
                if any(
                    contents.get(touch_id, "") == content and campaign in (None, of_touch)
                    for touch_id, of_touch in zip(row.touch_ids, row.campaigns, strict=True)
                )
            }
    credited: Counter[str] = Counter()
    for row in (await ask("attribution", dimension="content", model="linear"))["items"]:
        credited[row["key"] or ""] += row["models"]["linear"]["credited_conversions"]
    assert credited == {
        row["key"] or "": row["models"]["linear"]["credited_conversions"]
        for row in (await ask("reports/performance", dimension="content", model="linear"))["items"]
    }


def content_of(event: AcceptedEvent) -> str:
    return event.campaign_content or ("ad 1" if "utm_content" in event.page_url else "")


def check_change_of_rows(items: list[Any], before: list[Any], granularity: str | None) -> None:
    """A day's row changes from the same key seven days earlier."""

    def earlier(period: str | None) -> str | None:
        return None if period is None else (datetime.fromisoformat(period) - timedelta(days=7)).isoformat()

    known = {(item["period"], item["key"]): item for item in before}
    assert any(item["change"] for item in items)
    for item in items:
        then = known.get((earlier(item["period"]), item["key"]))
        if then is None:
            assert item["change"] is None
        else:
            assert item["change"]["sessions"] == relative(item["sessions"], then["sessions"])
            assert item["change"]["touches"] == relative(item["touches"], then["touches"])
            for model, credits in item["models"].items():
                for name in ("credited_conversions", "credited_value"):
                    assert item["change"]["models"][model][name] == relative(credits[name], then["models"][model][name])


def check_change(change: dict[str, Any], now: dict[str, Any], before: dict[str, Any]) -> None:
    assert before["sessions"] > 0
    for name in ("touches", "clicks", "impressions", "sessions", "users", "conversions", "value"):
        assert change[name] == relative(now[name], before[name]), name
    for model, credits in now["models"].items():
        for name in ("credited_conversions", "credited_value"):
            assert change["models"][model][name] == relative(credits[name], before["models"][model][name])


def relative(now: Any, before: Any) -> Decimal | None:
    return round((Decimal(now) - Decimal(before)) / Decimal(before), 6) if before else None


COSTS = """date,channel,campaign,cost,currency,source
2024-01-15,paid_search,brand,100.50,CNY,
2024-01-16,paid_search,brand,99.5,,
2024-01-16,Paid Search,other,10,CNY,
2024-01-17,paid_social,spring,250,CNY,
2024-01-17,email,weekly,7,USD,
2024-01-18,feed,a,3,CNY,oceanengine
2024-01-18,feed,a,4,CNY,tencent
2024-01-18,feed,a,5,USD,tencent
2024-01-22,paid_search,brand,1000,CNY,
"""
GONE = "2024-01-17,paid_social,removed,10000,CNY,\n"


@pytest.fixture
async def spent(facts: ClickHouse) -> None:
    """Imported twice, the second time mended and with a line less: only that counts."""
    world = make_world("spend", seed=1)
    for table in ("sessions", "touches", "conversions", "attributions"):
        await facts.insert_ndjson(table, encode_rows(world.tables()[table]))
    for at_ms, text in ((1, COSTS.replace("250", "999") + GONE), (2, COSTS)):
        rows, problems = read_costs(text.splitlines(keepends=True), SPEND, at_ms)
        assert problems == []
        await facts.insert_ndjson("spend", encode_rows(with_markers(rows)))


@pytest.mark.usefixtures("spent")
async def test_spend_cpa_and_roas(ask: Any) -> None:
    data = await ask("reports/performance", key="spend", **WEEK, model="linear,last_click")
    items = {item["key"]: item for item in data["items"]}
    assert items["paid_search"]["spend"] == Decimal("210.00")
    assert items["paid_social"]["spend"] == Decimal("250.00")
    assert "email" not in items, "spent in another currency, and nothing else"
    assert items["feed"]["spend"] == 7, "two platforms"
    assert data["totals"]["spend"] == 467
    assert data["spend_by_currency"] == {"CNY": 467, "USD": 12}
    assert "USD" in data["meta"]["other_currencies"]
    for item in (items["paid_search"], items["paid_social"], data["totals"]):
        for credits in item["models"].values():
            conversions, value = credits["credited_conversions"], credits["credited_value"]
            cent = Decimal("0.01")
            assert credits["cpa"] == (
                (item["spend"] / conversions).quantize(cent, ROUND_HALF_EVEN) if conversions else None
            )
            assert credits["roas"] == round(value / item["spend"], 6)
    by_campaign = await ask("reports/performance", key="spend", **WEEK, dimension="campaign")
    spends = {item["key"]: item["spend"] for item in by_campaign["items"] if item["spend"] is not None}
    assert spends == {"brand": 200, "other": 10, "spring": 250, "a": 7}
    by_source = await ask("reports/performance", key="spend", **WEEK, dimension="source")
    spends = {item["key"]: item["spend"] for item in by_source["items"] if item["spend"] is not None}
    assert spends == {None: 460, "oceanengine": 3, "tencent": 4}
    by_medium = await ask("reports/performance", key="spend", **WEEK, dimension="medium")
    assert {item["spend"] for item in by_medium["items"]} == {None}
    assert by_source["totals"]["spend"] == by_medium["totals"]["spend"] == 467
    in_dollars = await ask("reports/performance", key="spend", **WEEK, currency="USD")
    assert in_dollars["totals"]["spend"] == 12


@pytest.mark.usefixtures("spent")
async def test_a_days_cost_counts_where_the_day_begins(ask: Any) -> None:
    data = await ask("reports/performance", key="spend", **WEEK, granularity="day", model="linear")
    spends = {(item["period"], item["key"]): item["spend"] for item in data["items"] if item["spend"]}
    assert spends == {
        ("2024-01-15T00:00:00+08:00", "paid_search"): Decimal("100.50"),
        ("2024-01-16T00:00:00+08:00", "paid_search"): Decimal("109.50"),
        ("2024-01-17T00:00:00+08:00", "paid_social"): Decimal("250"),
        ("2024-01-18T00:00:00+08:00", "feed"): Decimal(7),
    }
    elsewhere = await ask("reports/performance", key="spend", **WEEK, granularity="day", model="linear", tz="UTC")
    periods = {item["period"]: item["spend"] for item in elsewhere["items"] if item["spend"]}
    assert periods.keys() == {f"2024-01-{day}T00:00:00+00:00" for day in (15, 16, 17, 18)}, (
        "a date is a date in any zone"
    )
    one_day = await ask("reports/performance", key="spend", **{"from": "2024-01-16", "to": "2024-01-16"}, tz="UTC")
    assert one_day["totals"]["spend"] == Decimal("109.50")


@pytest.mark.usefixtures("spent")
async def test_the_costs_that_stand_are_listed(ask: Any) -> None:
    first = await ask("costs", key="spend", limit=5)
    rest = await ask("costs", key="spend", limit=5, cursor=first["next_cursor"])
    found = [
        (item["date"], item["campaign"], item["source"], item["cost"], item["currency"]) for item in first["items"]
    ]
    found += [
        (item["date"], item["campaign"], item["source"], item["cost"], item["currency"]) for item in rest["items"]
    ]
    assert len(found) == 9
    assert found[0] == ("2024-01-22", "brand", None, 1000, "CNY")
    assert ("2024-01-18", "a", "tencent", 5, "USD") in found
    assert not any(item[1] == "removed" for item in found)
    some = await ask("costs", key="spend", **{"from": "2024-01-16", "to": "2024-01-17"})
    assert {item["date"] for item in some["items"]} == {"2024-01-16", "2024-01-17"}
    assert (some["meta"]["from"], some["meta"]["to"]) == (
        "2024-01-16T00:00:00.000+08:00",
        "2024-01-18T00:00:00.000+08:00",
    )


STEPS = ["page_view", "search", "purchase"]


def steps_done(events: list[Any], steps: list[str], window_ms: int) -> int:
    """The longest chain: from each first step on, the next event of the next step."""
    best = 0
    for index, first in enumerate(events):
        if first.event_name != steps[0]:
            continue
        done, rest = 1, events[index + 1 :]
        for event in rest:
            if done < len(steps) and event.event_name == steps[done]:
                done += event.timestamp_ms - first.timestamp_ms <= window_ms
        best = max(best, done)
    return best


@pytest.mark.parametrize("hours", [1, 24 * 7])
@pytest.mark.parametrize("steps", [STEPS, ["page_view", "purchase"], ["purchase", "user_signup", "search"]])
async def test_a_funnel(ask: Any, alpha: World, steps: list[str], hours: int) -> None:
    persons: dict[str, list[Any]] = {}
    place = {name: index for index, name in enumerate(steps)}
    of_people = [event for event in alpha.events if not event.is_bot]
    for event in sorted(of_people, key=lambda event: (event.timestamp_ms, place.get(event.event_name, 9))):
        key = "u:" + event.user_id if event.user_id else "a:" + event.anonymous_id
        persons.setdefault(key, []).append(event)
    done = [steps_done(events, steps, hours * 3_600_000) for events in persons.values()]
    data = await ask("reports/conversion", steps=",".join(steps), within_hours=hours)
    found = data["funnel"]["steps"]
    assert [step["event_name"] for step in found] == steps
    wanted = [sum(reached >= place for reached in done) for place in range(1, len(steps) + 1)]
    assert [step["users"] for step in found] == wanted
    assert found[0]["rate"] == 1
    assert found[1]["rate_of_step_before"] == round(Decimal(wanted[1]) / wanted[0], 6)
    assert data["funnel"]["by_channel"] is data["funnel"]["stopped"] is None
    more = {"by_channel": "true", "stopped_after": len(steps) - 1}
    walk = (await ask("reports/conversion", steps=",".join(steps), within_hours=hours, **more))["funnel"]
    assert walk["steps"] == found
    of_channels = [[step["users"] for step in row["steps"]] for row in walk["by_channel"]]
    assert [sum(column) for column in zip(*of_channels, strict=True)] == wanted
    begun = Counter(
        channel_at(alpha, key, next(one.timestamp_ms for one in events if one.event_name == steps[0]))
        for (key, events), reached in zip(persons.items(), done, strict=True)
        if reached
    )
    assert {row["channel"]: row["steps"][0]["users"] for row in walk["by_channel"]} == begun
    stopped = {key[2:] for key, reached in zip(persons, done, strict=True) if reached == len(steps) - 1}
    assert {one["id"] for one in walk["stopped"]} == stopped
    times = [one["first_at"] for one in walk["stopped"]]
    assert times == sorted(times, reverse=True)


def channel_at(world: World, person_key: str, at_ms: int) -> str | None:
    """Channel of the last session of a person that had begun by then."""
    begun = [one for one in world.sessions if one.person_key == person_key and one.start_ms <= at_ms]
    return max(begun, key=lambda one: one.start_ms).channel if begun else None


@pytest.mark.parametrize("given", [{"stopped_after": 2}, {"stopped_after": 0}, {"steps": "", "by_channel": "true"}])
async def test_what_a_funnel_cannot_be_asked(client: Any, given: dict[str, Any]) -> None:
    asked = {name: value for name, value in ({"steps": "a,b"} | given).items() if value != ""}
    answer = await client.get("/v1/reports/conversion", params=asked, headers={"Authorization": "Bearer ak_test_alpha"})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == list(given)[-1]


async def test_a_step_that_stands_twice_takes_two_events(ask: Any, facts: ClickHouse) -> None:
    """Of five people, two have done it twice."""
    rows = []
    for person, times in enumerate([1, 1, 1, 2, 2]):
        for number in range(times):
            rows.append(
                AcceptedEvent(
                    app_id="walk",
                    event_id=f"twice-{person}-{number}",
                    event_name="twice_step",
                    timestamp_ms=FIRST_MS + 60_000 * number,
                    received_us=(FIRST_MS + 60_000 * number) * 1000,
                    user_id=f"twice-{person}",
                )
            )
    await facts.insert_ndjson("events", encode_rows(rows))
    data = await ask("reports/conversion", key="walk", steps="twice_step,twice_step")
    assert [step["users"] for step in data["funnel"]["steps"]] == [5, 2]


async def test_a_funnel_in_a_range(ask: Any, alpha: World) -> None:
    data = await ask("reports/conversion", steps="page_view,purchase", **WEEK)
    start_ms = FIRST_MS + 14 * DAY_MS - SHANGHAI_MS
    inside = [e for e in alpha.events if start_ms <= e.timestamp_ms < start_ms + 7 * DAY_MS and not e.is_bot]
    viewers = {e.user_id or e.anonymous_id for e in inside if e.event_name == "page_view"}
    assert data["funnel"]["steps"][0]["users"] == len(viewers)
    assert utc_text(start_ms) == "2024-01-14T16:00:00.000Z"
    assert date(2024, 1, 15) + timedelta(days=6) == date(2024, 1, 21)
