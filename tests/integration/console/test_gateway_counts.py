"""What gateways counted, on pages: the ledger of the overview, and the requests of today beside the plan."""

import asyncio
from itertools import count
from typing import Any

import msgspec
import pytest
from console_world import NOW_MS, USER, ConsoleWorld, Visitor
from waiting import until

from pipeline.control.users import Role, User
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.control import App, Plan
from schemas.events import AcceptedEvent
from schemas.facts import EventMarkRow, GatewayCountRow, encode_rows

_NUMBERS = count()
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class Sent:
    """An app of its own, and what gateways and tables have of it."""

    def __init__(self, console: ConsoleWorld, tables: ClickHouse) -> None:
        self.app_id = f"ledger-{next(_NUMBERS)}"
        console.store.create_app(App(self.app_id, "Shop of counts"), NOW_MS)
        known = next(user for user in console.users.users() if user.login == USER)
        console.users.update(User(known.user_id, USER, Role.USER, app_ids=known.app_ids | {self.app_id}))
        console.app.state.console.snapshots.refresh()
        self._tables = tables

    def store(self, event_id: str, ago_ms: int, received_ago_ms: int | None = None) -> None:
        at_ms = _minute_ms(ago_ms)
        received_us = (at_ms if received_ago_ms is None else _minute_ms(received_ago_ms)) * 1000
        event = AcceptedEvent(self.app_id, event_id, "page_view", at_ms, received_us, "", "visitor", msgspec.Raw(b"{}"))
        self._insert("events", event)

    def mark_repeat(self, event_id: str, ago_ms: int) -> None:
        at_ms = _minute_ms(ago_ms)
        self._insert(
            "event_marks", EventMarkRow(self.app_id, event_id, "duplicate", at_ms, at_ms, at_ms * 1000, 0, 0, 0)
        )

    def count(self, ago_ms: int, gateway_id: str = "gateway", **numbers: int) -> None:
        self._insert("gateway_counts", GatewayCountRow(self.app_id, gateway_id, _minute_ms(ago_ms), 1, **numbers))

    def _insert(self, table: str, row: Any) -> None:
        asyncio.run(self._tables.insert_ndjson(table, encode_rows([row])))

    def page(self, visitor: Visitor, path: str, unknown: str) -> str:
        """A page of the app, once it could read all: a busy machine may take longer than a page waits."""
        pages: list[str] = []

        def is_told() -> bool:
            answer = visitor.get(f"/apps/{self.app_id}/{path}")
            assert answer.status_code == 200
            pages.append(answer.text)
            return unknown not in answer.text

        asyncio.run(until(is_told, f"{path} with all of it", 120.0, 1.0))
        return pages[-1]

    def overview(self, visitor: Visitor) -> str:
        return self.page(visitor, "overview", "Events not counted")


def _minute_ms(ago_ms: int) -> int:
    return (now_ms() - ago_ms) // MINUTE_MS * MINUTE_MS


@pytest.fixture
def sent(console: ConsoleWorld, tables: ClickHouse) -> Sent:
    return Sent(console, tables)


def test_events_that_are_stored_repeated_or_refused_are_accounted_for(sent: Sent, mia: Visitor) -> None:
    """A repeat of an event that came two days before counts as one, though both are one row."""
    for number in range(3):
        sent.store(f"e{number}", HOUR_MS)
    sent.store("old", 48 * HOUR_MS)
    sent.store("old", 48 * HOUR_MS, received_ago_ms=HOUR_MS)
    sent.mark_repeat("old", HOUR_MS)
    sent.count(HOUR_MS, accepted=4, duplicates=1, rejected=2)
    sent.count(30 * HOUR_MS, accepted=9)
    page = sent.overview(mia)
    assert "Every event is accounted for" in page
    assert "Of 7 events sent" in page
    assert "3 are stored, 2 came more than once" in page
    assert "2 were refused" in page
    assert f'href="/apps/{sent.app_id}/help#ledger"' in page


def test_events_that_came_a_moment_ago_are_on_their_way(sent: Sent, mia: Visitor) -> None:
    sent.store("e", 2 * MINUTE_MS)
    sent.count(2 * MINUTE_MS, accepted=6)
    page = sent.overview(mia)
    assert "5 events on their way" in page
    assert "Of 6 events sent" in page
    assert "Tell an admin" not in page


def test_events_that_cannot_be_found_are_told_with_what_to_do(sent: Sent, admin: Visitor, mia: Visitor) -> None:
    sent.store("e", HOUR_MS)
    sent.count(HOUR_MS, accepted=6)
    sent.count(2 * MINUTE_MS, accepted=3)
    page = sent.overview(mia)
    assert "5 events not found" in page
    assert "3 are on their way" in page
    assert "Of 9 events sent" in page
    assert "Tell an admin" in page
    assert "See how far the installation is" in sent.overview(admin)


def test_a_gateway_that_took_its_last_counts_with_it_leaves_nothing_missing(sent: Sent, mia: Visitor) -> None:
    for number in range(4):
        sent.store(f"e{number}", HOUR_MS)
    sent.count(HOUR_MS, accepted=2)
    page = sent.overview(mia)
    assert "Every event is accounted for" in page
    assert "Of 4 events sent" in page


def test_an_overview_whose_ledger_cannot_be_read_shows_its_numbers_and_says_so(
    sent: Sent, tables: ClickHouse, mia: Visitor
) -> None:
    sent.store("e", HOUR_MS)
    asyncio.run(tables.command("RENAME TABLE gateway_counts TO gateway_counts_away"))
    try:
        answer = mia.get(f"/apps/{sent.app_id}/overview")
    finally:
        asyncio.run(tables.command("RENAME TABLE gateway_counts_away TO gateway_counts"))
    assert answer.status_code == 200
    assert "Events not counted" in answer.text
    assert "Conversions by day" in answer.text


def test_a_day_without_events_says_so(sent: Sent, mia: Visitor) -> None:
    sent.store("e", 48 * HOUR_MS)
    assert "Nothing was sent in the 24 hours" in sent.overview(mia)


@pytest.mark.parametrize(
    ("plan", "requests", "told"),
    [
        (Plan.FREE, 850, ("Free", "1,000 requests a day", "850", "85%")),
        (Plan.FREE, 1_200, ("1,200", "120%", "badge bad")),
        (Plan.ENTERPRISE, 7, ("Enterprise", "no limit of requests", "7")),
    ],
)
def test_the_plan_and_the_requests_of_today_are_told(
    sent: Sent, console: ConsoleWorld, mia: Visitor, plan: Plan, requests: int, told: tuple[str, ...]
) -> None:
    """Of the UTC day, and of all gateways together."""
    console.store.update_app(App(sent.app_id, "Shop of counts", plan), NOW_MS)
    console.app.state.console.snapshots.refresh()
    sent.count(0, requests=requests - 2)
    sent.count(0, gateway_id="another", requests=2)
    sent.count(24 * HOUR_MS, requests=99)
    shown = sent.page(mia, "api-keys", "cannot be told now").partition('id="usage"')[2].partition("</section>")[0]
    assert [text for text in told if text not in shown] == []
