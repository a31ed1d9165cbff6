"""The demo's traffic keeps what it promises, else the ledger would be checked against a wrong truth."""

import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from deploy.demo.generator import MAX_SPAN_MS, SAFE_LATE_MS, TOO_LATE_MS, Kind, Plan, Sending, generate, truth_of
from schemas.events import EVENT_ID_PATTERN, EVENT_NAME_PATTERN

END_MS = 1_790_000_000_000
DAY_MS = 86_400_000
PLAN = Plan(end_ms=END_MS, events=6_000, has_sent_at=False)


@pytest.fixture(scope="module")
def sendings() -> list[Sending]:
    return generate(PLAN)


def event_ms(sending: Sending) -> int:
    return round(datetime.fromisoformat(sending.body["timestamp"]).astimezone(UTC).timestamp() * 1000)


def test_the_same_plan_gives_the_same_traffic_and_another_seed_another(sendings: list[Sending]) -> None:
    assert generate(PLAN) == sendings
    assert generate(Plan(end_ms=END_MS, events=6_000, seed=2, has_sent_at=False)) != sendings


def test_at_least_as_many_as_asked_for_in_order_of_arrival(sendings: list[Sending]) -> None:
    assert 6_000 <= len(sendings) < 6_400
    arrivals = [sending.arrival_ms for sending in sendings]
    assert arrivals == sorted(arrivals)


def test_the_truth_accounts_for_every_sending(sendings: list[Sending]) -> None:
    truth = truth_of(sendings)
    assert truth.sent == len(sendings) == truth.stored + truth.duplicates + truth.rejected.total()
    assert truth.late == PLAN.late_events
    assert set(truth.rejected) == {"INVALID_EVENT_NAME", "MISSING_REQUIRED_FIELD", "INVALID_PARAMETER"}
    assert min(truth.conversions[name] for name in ("purchase", "add_to_cart", "user_signup")) > 0
    assert truth.revenue_minor > 0


def test_ids_are_unique_but_for_duplicates_which_come_after_their_original(sendings: list[Sending]) -> None:
    seen: Counter[str] = Counter()
    for sending in sendings:
        event_id = sending.body["event_id"]
        assert EVENT_ID_PATTERN.match(event_id)
        assert seen[event_id] == (1 if sending.kind is Kind.DUPLICATE else 0)
        seen[event_id] += 1


def test_what_counts_is_within_the_allowed_lateness_and_what_is_late_is_not(sendings: list[Sending]) -> None:
    for sending in sendings:
        if sending.kind is Kind.VALID:
            assert 0 <= sending.arrival_ms - event_ms(sending) < SAFE_LATE_MS
        if sending.kind is Kind.LATE:
            assert sending.arrival_ms - event_ms(sending) >= TOO_LATE_MS[0]
            assert sending.arrival_ms < END_MS
    assert SAFE_LATE_MS + MAX_SPAN_MS < DAY_MS


def test_valid_names_and_times_lie_where_the_gateway_takes_them(sendings: list[Sending]) -> None:
    for sending in sendings:
        if sending.kind is not Kind.INVALID:
            assert EVENT_NAME_PATTERN.match(sending.body["event_name"])
            assert END_MS - 30 * DAY_MS <= event_ms(sending) < END_MS + 5_000


def test_people_come_back_by_other_ways(sendings: list[Sending]) -> None:
    arrivals: dict[str, set[str]] = {}
    for sending in sendings:
        page = sending.body["context"].get("page")
        if page and not page["referrer"].startswith("https://shop.example"):
            way = re.sub(r"=[0-9a-f]{16}", "=", page["referrer"] + page["url"].partition("?")[2])
            arrivals.setdefault(sending.body["anonymous_id"], set()).add(way)
    assert sum(len(ways) > 1 for ways in arrivals.values()) > len(arrivals) / 5


def test_some_repeats_carry_another_time_and_some_the_same(sendings: list[Sending]) -> None:
    first = {s.body["event_id"]: s.body["timestamp"] for s in sendings if s.kind is not Kind.DUPLICATE}
    same = Counter(first[s.body["event_id"]] == s.body["timestamp"] for s in sendings if s.kind is Kind.DUPLICATE)
    assert same[True] > 20
    assert same[False] > 20


def test_sent_at_only_where_asked_for(sendings: list[Sending]) -> None:
    assert not any("sent_at" in sending.body for sending in sendings)
    assert any("sent_at" in sending.body for sending in generate(Plan(end_ms=END_MS, events=2_000)))
