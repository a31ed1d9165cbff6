"""Reports against the same sums in plain Python, over the same rows; and against each other."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import quantiles
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from query_world import DAY_MS, FIRST_MS, MICRO_GOAL, World

from schemas.facts import AttributionRow, ConversionRow, Model, encode_rows
from schemas.money import from_minor

DIMENSIONS = {
    "channel": "channels",
    "source": "sources",
    "medium": "mediums",
    "campaign": "campaigns",
    "touch_type": "touch_types",
}
JANUARY = {"from_": "2024-01-05", "to": "2024-01-31", "tz": "America/New_York"}
JANUARY_MS = (
    FIRST_MS + 4 * DAY_MS + 5 * 3_600_000,
    FIRST_MS + 31 * DAY_MS + 5 * 3_600_000,
)


RowT = TypeVar("RowT", AttributionRow, ConversionRow)


def in_january(time_ms: int) -> bool:
    return JANUARY_MS[0] <= time_ms < JANUARY_MS[1]


def counted(rows: Iterable[RowT], currency: str = "CNY") -> list[RowT]:
    """Those that a report counts if no goal is asked for."""
    return [row for row in rows if row.currency == currency and row.goal != MICRO_GOAL]


def credited(rows: Iterable[AttributionRow], arrays: str) -> dict[str, dict[str, tuple[int, int]]]:
    """model → key → billionths of credit, and of smallest units"""
    sums: dict[str, dict[str, list[int]]] = {model.value: defaultdict(lambda: [0, 0]) for model in Model}
    for row in rows:
        for model in Model:
            for key, nanos in zip(getattr(row, arrays), row.credits_nanos[model.value], strict=True):
                sums[model.value][key][0] += nanos
                sums[model.value][key][1] += row.value_minor * nanos
    return {model: {key: (n, m) for key, (n, m) in found.items()} for model, found in sums.items()}


def shown(models: dict[str, Any], model: str, currency: str = "CNY") -> tuple[int, int]:
    """Convert an answer's numbers back to millionths and smallest units."""
    credit = models[model]
    digits = {"JPY": 0}.get(currency, 2)
    return int(credit["credited_conversions"] * 10**6), int(credit["credited_value"] * 10**digits)


def check_shown(answer: dict[Any, tuple[int, int]], wanted: dict[Any, tuple[int, int]]) -> None:
    """Each number is less than one step from the exact one, and together they are exact."""
    assert answer.keys() == wanted.keys()
    for number, step in ((0, 1_000), (1, 10**9)):
        assert all(abs(answer[key][number] * step - wanted[key][number]) < step for key in answer)
        assert sum(found[number] for found in answer.values()) * step == sum(found[number] for found in wanted.values())


@pytest.mark.parametrize("dimension", DIMENSIONS)
async def test_attribution_by_every_dimension_and_model(ask: Any, alpha: World, dimension: str) -> None:
    data = await ask("attribution", dimension=dimension)
    wanted = credited(counted(alpha.attributions), DIMENSIONS[dimension])
    for model in Model:
        answer = {item["key"] or "": shown(item["models"], model) for item in data["items"]}
        check_shown(answer, wanted[model])


@pytest.mark.parametrize("currency", ["CNY", "USD", "JPY"])
async def test_totals_are_the_conversions_themselves(ask: Any, alpha: World, currency: str) -> None:
    rows = counted(alpha.conversions, currency)
    refunded = from_minor(sum(row.refunded_minor for row in rows), currency)
    value = from_minor(sum(row.value_minor for row in rows), currency) - refunded
    assert value > 0
    answers = [
        (await ask("attribution", currency=currency))["totals"],
        (await ask("reports/performance", currency=currency))["totals"],
    ]
    for totals in answers:
        assert totals["conversions"] == len(rows)
        assert totals["value"] == value
        assert totals["refunded"] == refunded
        for model in Model:
            assert totals["models"][model]["credited_conversions"] == len(rows)
            assert totals["models"][model]["credited_value"] == value
    report = await ask("reports/conversion", currency=currency)
    assert report["totals"]["conversions"] == len(rows)
    assert report["totals"]["value"] == value
    assert report["totals"]["refunded"] == refunded
    assert sum(item["value"] for item in report["items"] if item["is_counted"]) == value
    listed = (await ask("conversions", limit=1000))["items"]
    of_goals = [item for item in listed if item["currency"] == currency and item["goal_type"] == "macro"]
    assert len(of_goals) == len(rows)
    assert sum(item["value"] for item in of_goals) == value
    assert sum(item["refunded"] for item in of_goals) == refunded


@pytest.mark.parametrize("asked", [{}, {"goal": "purchase"}, {"goal": MICRO_GOAL}, {"currency": "USD"}, JANUARY])
async def test_every_report_says_what_it_counts_and_what_it_leaves_out(
    ask: Any, alpha: World, asked: dict[str, str]
) -> None:
    goals = {asked["goal"]} if "goal" in asked else {"purchase", "user_signup", "app_install", "form_submitted"}
    goals |= set() if "goal" in asked else {"add_to_cart"}
    currency = asked.get("currency", "CNY")
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in alpha.conversions:
        if ("goal" not in asked or row.goal in goals) and ("from_" not in asked or in_january(row.converted_at_ms)):
            numbers = (1, row.value_minor - row.refunded_minor, row.refunded_minor)
            sums[row.goal, row.currency] = [a + b for a, b in zip(sums[row.goal, row.currency], numbers, strict=True)]
    for path in ("attribution", "reports/performance", "reports/conversion"):
        data = await ask(path, **asked)
        assert data["meta"]["goals"] == sorted(goals)
        assert data["meta"]["currency"] == currency
        assert data["meta"]["other_currencies"] == sorted({"CNY", "USD", "JPY"} - {currency})
        found = {(row["goal"], row["currency"]): row for row in data["by_goal"]}
        assert found.keys() == sums.keys()
        for (goal, its_currency), (number, net_minor, refunded_minor) in sums.items():
            row = found[goal, its_currency]
            assert row["conversions"] == number
            assert row["value"] == from_minor(net_minor, its_currency)
            assert row["refunded"] == from_minor(refunded_minor, its_currency)
            assert row["is_counted"] == (goal in goals and its_currency == currency)
        for name in ("conversions", "value", "refunded"):
            assert data["totals"][name] == sum(row[name] for row in data["by_goal"] if row["is_counted"])


async def test_attribution_in_a_range_for_a_goal_and_some_models(ask: Any, alpha: World) -> None:
    data = await ask("attribution", **JANUARY, goal="purchase", model="time_decay,linear")
    in_range = [row for row in counted(alpha.attributions) if in_january(row.converted_at_ms)]
    rows = [row for row in in_range if row.goal == "purchase"]
    assert 0 < len(rows) < len(alpha.attributions)
    wanted = credited(rows, "channels")
    assert list(data["totals"]["models"]) == ["linear", "time_decay"]
    check_shown({item["key"]: shown(item["models"], "linear") for item in data["items"]}, wanted["linear"])
    assert data["totals"]["conversions"] == len(rows)
    order = [item["models"]["linear"]["credited_conversions"] for item in data["items"]]
    assert order == sorted(order, reverse=True)


async def test_performance_by_channel(ask: Any, alpha: World) -> None:
    data = await ask("reports/performance", **JANUARY, model="linear")
    check_performance(data["items"], alpha, "channel", lambda _time_ms: None)
    assert data["granularity"] is None


@pytest.mark.parametrize("granularity", ["hour", "day", "week", "month"])
@pytest.mark.parametrize("dimension", ["campaign", "touch_type"])
async def test_performance_by_period(ask: Any, alpha: World, dimension: str, granularity: str) -> None:
    data = await ask("reports/performance", **JANUARY, model="linear", dimension=dimension, granularity=granularity)
    check_performance(data["items"], alpha, dimension, lambda time_ms: period(time_ms, granularity))


def period(time_ms: int, granularity: str) -> str:
    zone = ZoneInfo("America/New_York")
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)).astimezone(zone)
    start = local.replace(minute=0, second=0, microsecond=0)
    if granularity != "hour":
        start = start.replace(hour=0)
    if granularity == "week":
        start -= timedelta(days=start.weekday())
    if granularity == "month":
        start = start.replace(day=1)
    return start.isoformat()


Wanted = dict[Any, dict[str, Any]]


def check_performance(items: list[dict[str, Any]], world: World, dimension: str, place: Any) -> None:
    wanted: Wanted = defaultdict(lambda: defaultdict(int))
    persons: dict[Any, set[str]] = defaultdict(set)
    add_touches(wanted, world, dimension, place)
    if dimension != "touch_type":
        add_sessions(wanted, persons, world, dimension, place)
    add_credits(wanted, world, dimension, place)
    assert {(item["period"], item["key"] or "") for item in items} == set(wanted)
    assert len(items) == len(wanted)
    places = {(item["period"], item["key"] or ""): item for item in items}
    answer = {place: shown(item["models"], "linear") for place, item in places.items()}
    check_shown(answer, {place: (row["nanos"], row["credit_nanos"]) for place, row in wanted.items()})
    for item in items:
        check_performance_item(item, wanted[item["period"], item["key"] or ""], persons, dimension)


def add_touches(wanted: Wanted, world: World, dimension: str, place: Any) -> None:
    for touch in world.touches:
        if in_january(touch.touched_at_ms):
            row = wanted[place(touch.touched_at_ms), getattr(touch, dimension)]
            row["touches"] += 1
            row["clicks"] += touch.touch_type == "click"
            row["impressions"] += touch.touch_type == "impression"


def add_sessions(wanted: Wanted, persons: dict[Any, set[str]], world: World, dimension: str, place: Any) -> None:
    sessions = {row.session_id: row for row in world.sessions}
    converted = {row.session_id for row in counted(world.conversions)}
    for session in world.sessions:
        if in_january(session.start_ms):
            at = place(session.start_ms), getattr(session, dimension)
            wanted[at]["sessions"] += 1
            wanted[at]["converted"] += session.session_id in converted
            persons[at].add(session.person_key)
    for row in counted(world.conversions):
        if in_january(row.converted_at_ms):
            at = place(row.converted_at_ms), getattr(sessions[row.session_id], dimension)
            wanted[at]["conversions"] += 1
            wanted[at]["minor"] += row.value_minor - row.refunded_minor
            wanted[at]["refunded_minor"] += row.refunded_minor


def add_credits(wanted: Wanted, world: World, dimension: str, place: Any) -> None:
    for row in counted(world.attributions):
        if in_january(row.converted_at_ms):
            for key, (nanos, value_nanos) in credited([row], DIMENSIONS[dimension])["linear"].items():
                wanted[place(row.converted_at_ms), key]["nanos"] += nanos
                wanted[place(row.converted_at_ms), key]["credit_nanos"] += value_nanos


def check_performance_item(item: Any, row: dict[str, Any], persons: dict[Any, set[str]], dimension: str) -> None:
    assert (item["touches"], item["clicks"], item["impressions"]) == (row["touches"], row["clicks"], row["impressions"])
    if dimension == "touch_type":
        assert item["sessions"] is item["users"] is item["conversions"] is item["value"] is item["refunded"] is None
        return
    assert item["sessions"] == row["sessions"]
    assert item["users"] == len(persons[item["period"], item["key"] or ""])
    assert item["conversions"] == row["conversions"]
    assert item["value"] == from_minor(row["minor"], "CNY")
    assert item["refunded"] == from_minor(row["refunded_minor"], "CNY")
    rate = round(Decimal(row["converted"]) / row["sessions"], 6) if row["sessions"] else None
    assert item["conversion_rate"] == rate


async def test_performance_totals_count_everybody_once(ask: Any, alpha: World) -> None:
    totals = (await ask("reports/performance", granularity="day"))["totals"]
    assert totals["users"] == len({row.person_key for row in alpha.sessions})
    assert totals["sessions"] == len(alpha.sessions)
    assert totals["touches"] == len(alpha.touches)
    converted = len({row.session_id for row in counted(alpha.conversions)})
    assert converted < sum(row.conversions > 0 for row in alpha.sessions)
    assert totals["conversion_rate"] == round(Decimal(converted) / len(alpha.sessions), 6)


@pytest.mark.parametrize("goal", ["user_signup", MICRO_GOAL])
async def test_performance_of_one_goal(ask: Any, alpha: World, goal: str) -> None:
    data = await ask("reports/performance", goal=goal, model="last_click")
    rows = [row for row in alpha.conversions if row.goal == goal and row.currency == "CNY"]
    assert data["totals"]["conversions"] == len(rows)
    assert data["totals"]["models"]["last_click"]["credited_conversions"] == len(rows)
    converted = len({row.session_id for row in rows})
    assert data["totals"]["conversion_rate"] == round(Decimal(converted) / len(alpha.sessions), 6)
    assert data["totals"]["sessions"] == len(alpha.sessions)


async def test_a_conversion_whose_session_is_missing_still_counts(ask: Any, facts: Any) -> None:
    ids = {"app_id": "empty", "conversion_id": "lone", "session_id": "gone"}
    row = {**ids, "goal": "purchase", "converted_at_ms": 5, "currency": "CNY", "revision": 1}
    await facts.insert_ndjson("conversions", encode_rows([row]))
    before = await ask("reports/performance", key="empty", to="1970-01-01", tz="UTC")
    assert before["totals"]["conversions"] == 0, "it is not attributed yet"
    credited = {
        "touch_ids": [""], "channels": ["direct"], "credits_nanos": {"linear": [10**9]}, "values_minor": {"linear": [0]}
    }  # fmt: skip
    await facts.insert_ndjson("attributions", encode_rows([row | credited]))
    data = await ask("reports/performance", key="empty", to="1970-01-01", tz="UTC", model="linear")
    assert data["totals"]["conversions"] == 1
    assert [(item["key"], item["conversions"]) for item in data["items"]] == [("direct", 0), (None, 1)]


async def test_a_session_without_a_channel_is_no_visit(ask: Any, facts: Any) -> None:
    row = {"app_id": "empty", "person_key": "u:backend", "user_id": "backend", "events": 1, "revision": 1}
    sessions = [
        row | {"session_id": "v1", "start_ms": 86_400_000, "end_ms": 86_400_000, "channel": "paid_search"},
        row | {"session_id": "v2", "start_ms": 100_000_000, "end_ms": 100_000_000, "channel": "", "conversions": 1},
    ]
    await facts.insert_ndjson("sessions", encode_rows(sessions))
    user = (await ask("users/{}", "backend", key="empty"))["user"]
    assert (user["sessions"], user["first_channel"], user["last_channel"]) == (1, "paid_search", "paid_search")
    day = {"from_": "1970-01-02", "to": "1970-01-02", "tz": "UTC"}
    report = await ask("reports/performance", key="empty", **day)
    assert [(item["key"], item["sessions"]) for item in report["items"]] == [("paid_search", 1)]
    assert (report["totals"]["sessions"], report["totals"]["users"]) == (1, 1)


async def test_conversion_report(ask: Any, alpha: World) -> None:
    data = await ask("reports/conversion", **JANUARY)
    rows = [row for row in alpha.conversions if in_january(row.converted_at_ms)]
    active = {row.person_key for row in alpha.sessions if row.end_ms >= JANUARY_MS[0] and row.start_ms < JANUARY_MS[1]}
    assert data["active_users"] == len(active)
    check_goal(data["totals"], counted(rows), len(active))
    items = {item["goal"]: item for item in data["items"]}
    assert set(items) == {"purchase", "user_signup", "app_install", "form_submitted", "add_to_cart", MICRO_GOAL}
    assert items["purchase"]["display_name"] == "购买"
    for goal, item in items.items():
        assert item["is_counted"] == (goal != MICRO_GOAL)
        check_goal(item, [row for row in rows if row.goal == goal and row.currency == "CNY"], len(active))


def check_goal(item: dict[str, Any], rows: list[ConversionRow], active: int) -> None:
    assert item["conversions"] == len(rows)
    assert item["users"] == len({row.person_key for row in rows})
    net_minor = sum(row.value_minor - row.refunded_minor for row in rows)
    assert item["value"] == from_minor(net_minor, "CNY")
    assert item["conversion_rate"] == round(Decimal(item["users"]) / active, 6)
    waits = [row.converted_at_ms - row.path_touched_at_ms[0] for row in rows if row.path_touched_at_ms]
    if len(waits) > 1:
        deciles = quantiles(waits, n=10, method="inclusive")
        assert float(item["time_to_convert"]["p50_seconds"]) == pytest.approx(deciles[4] / 1000, abs=0.001)
        assert float(item["time_to_convert"]["p90_seconds"]) == pytest.approx(deciles[8] / 1000, abs=0.001)
    elif not waits:
        assert item["time_to_convert"] == {"p50_seconds": None, "p90_seconds": None}
    lengths = count(len(row.path_channels) for row in rows)
    assert {entry["touches"]: entry["conversions"] for entry in item["path_lengths"]} == lengths
    paths = [row.path_channels or ["direct"] for row in rows]
    for end, name in [(0, "first_channels"), (-1, "last_channels")]:
        found = {entry["channel"]: entry["conversions"] for entry in item[name]}
        assert found == count(path[end] for path in paths)
    check_top_paths(item["top_paths"], rows)


def check_top_paths(top: list[dict[str, Any]], rows: list[ConversionRow]) -> None:
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        sums[tuple(row.path_channels or ["direct"])][0] += 1
        sums[tuple(row.path_channels or ["direct"])][1] += row.value_minor - row.refunded_minor
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1][0], pair[0]))[:10]
    wanted = [(list(path), number, from_minor(minor, "CNY")) for path, (number, minor) in ordered]
    assert [(entry["channels"], entry["conversions"], entry["value"]) for entry in top] == wanted


def count(values: Iterable[Any]) -> dict[Any, int]:
    found: dict[Any, int] = defaultdict(int)
    for value in values:
        found[value] += 1
    return dict(found)


async def test_what_people_are_worth_is_what_conversions_are(ask: Any, alpha: World) -> None:
    """After refunds, in every currency, over lists, details and reports."""
    people = (await ask("users", limit=1000))["items"]
    listed = (await ask("conversions", limit=1000))["items"]
    for currency in ("CNY", "USD", "JPY"):
        of_currency = [item for item in listed if item["currency"] == currency]
        net = sum(item["value"] for item in of_currency)
        of_macro_goals = sum(item["value"] for item in of_currency if item["goal_type"] == "macro")
        assert of_macro_goals < net
        assert sum(person["values"].get(currency, 0) for person in people) == net
        for path in ("reports/performance", "attribution", "reports/conversion"):
            report = await ask(path, currency=currency)
            assert report["totals"]["value"] == of_macro_goals
            assert sum(row["value"] for row in report["by_goal"] if row["currency"] == currency) == net
            assert sum(row["conversions"] for row in report["by_goal"]) == len(listed)
    assert sum(person["conversions"] for person in people) == len(listed)
    refunded = next(row for row in alpha.conversions if row.refunded_minor and row.user_id)
    of_person = [item for item in listed if item["user_id"] == refunded.user_id]
    detail = (await ask("users/{}", refunded.user_id))["user"]
    for currency, value in detail["values"].items():
        assert value == sum(item["value"] for item in of_person if item["currency"] == currency)
