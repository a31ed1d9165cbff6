"""The ledger on the overview: of what was sent in the last day, how much can be read, in words."""

import asyncio
from itertools import count
from typing import Any

import msgspec
import pytest
from console_world import ADMIN, NOW_MS, USER, ConsoleWorld, Visitor

from pipeline.control.users import Role, User
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.control import App
from schemas.events import AcceptedEvent
from schemas.facts import EventMarkRow, GatewayCountRow, encode_rows

_NUMBERS = count()
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


class Sent:
    """An app of its own, and what gateways and tables have of it."""

    def __init__(self, console: ConsoleWorld, tables: ClickHouse) -> None:
        self.app_id = f"ledger-{next(_NUMBERS)}"
        console.store.create_app(App(self.app_id, "Ledger"), NOW_MS)
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

    def count(self, ago_ms: int, **numbers: int) -> None:
        self._insert("gateway_counts", GatewayCountRow(self.app_id, "gateway", _minute_ms(ago_ms), 1, **numbers))

    def _insert(self, table: str, row: Any) -> None:
        asyncio.run(self._tables.insert_ndjson(table, encode_rows([row])))

    def overview(self, visitor: Visitor) -> str:
        answer = visitor.get(f"/apps/{self.app_id}/overview")
        assert answer.status_code == 200
        return str(answer.text)


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


def test_events_that_cannot_be_found_are_told_with_what_to_do(sent: Sent, console: ConsoleWorld, mia: Visitor) -> None:
    sent.store("e", HOUR_MS)
    sent.count(HOUR_MS, accepted=6)
    sent.count(2 * MINUTE_MS, accepted=3)
    page = sent.overview(mia)
    assert "5 events not found" in page
    assert "3 are on their way" in page
    assert "Of 9 events sent" in page
    assert "Tell an admin" in page
    assert "See how far the installation is" in sent.overview(console.visitor(ADMIN))


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
        page = sent.overview(mia)
    finally:
        asyncio.run(tables.command("RENAME TABLE gateway_counts_away TO gateway_counts"))
    assert "Events not counted" in page
    assert "Conversions by day" in page


def test_a_day_without_events_says_so(sent: Sent, mia: Visitor) -> None:
    sent.store("e", 48 * HOUR_MS)
    assert "Nothing was sent in the 24 hours" in sent.overview(mia)
