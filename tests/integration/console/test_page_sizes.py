"""Sizes of pages whose rows are as many and as long as they may be, over a console with its reads."""

import asyncio

import msgspec
import pytest
from console_world import NOW_MS, ConsoleWorld, Visitor

from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.control import App
from schemas.events import MAX_EVENT_BYTES, AcceptedEvent
from schemas.facts import AttributionRow, RejectedRow, SessionRow, encode_rows

APP = "long_texts"
MAX_PAGE_BYTES = 150 * 1024
ROWS = 300
LONG_URL = "https://shop.example/?" + "&amp;=%22" * 220


@pytest.fixture(scope="module")
def admin(admin: Visitor, console: ConsoleWorld, tables: ClickHouse) -> Visitor:
    console.store.create_app(App(APP, "Long"), NOW_MS)
    console.app.state.console.snapshots.refresh()
    now = now_ms()
    asyncio.run(_fill(tables, now))
    return admin


async def _fill(tables: ClickHouse, now: int) -> None:
    """A person of many sessions and events with long addresses, refused events as big as they may be, and credit of
    many campaigns.
    """
    raw = msgspec.Raw(b'{"note": "' + b"<'>" * 1000 + b'"}')
    events, sessions, refused, credits = [], [], [], []
    payload = '{"a":"' + "x" * (MAX_EVENT_BYTES - 100) + '"}'
    for number in range(ROWS):
        at = now - 60_000 * (number + 1)
        view = AcceptedEvent(APP, f"e{number}", "page_view", at, now * 1000, "", "visitor", raw, LONG_URL)
        view.page_title = "<b>" * 100
        events.append(view)
        sessions.append(_session(number, at))
        reason = f"reason {number % 60}"
        refused.append(
            RejectedRow(APP, f"r{number}", now - number, "gateway", "INVALID_PARAMETER", "x", reason, payload)
        )
        credits.append(_credit(number, at))
    rows = {"events": events, "sessions": sessions, "rejected": refused, "attributions": credits}
    for table, some in rows.items():
        await tables.insert_ndjson(table, encode_rows(some))


def _session(number: int, at: int) -> SessionRow:
    return SessionRow(
        APP, f"s{number}", "a:visitor", "", "visitor", at, at, 1, 1, LONG_URL, "", "paid_search", "baidu", "cpc",
        f"campaign-{number}", conversions=0, values_minor={}, is_bounce=True, is_closed=True, revision=1,
    )  # fmt: skip


def _credit(number: int, at: int) -> AttributionRow:
    models = ("last_click", "first_click", "linear", "time_decay", "position_based", "last_non_direct")
    return AttributionRow(
        APP, f"c{number}", "purchase", "a:visitor", at, 100, "CNY", [f"e{number}"], [at], ["click"], ["paid_search"],
        ["baidu"], ["cpc"], [f"campaign-{number}"],
        {model: [1_000_000_000] for model in models}, {model: [100] for model in models},
        "initial", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("live", "page_view"),
        ("rejected", "reason 5"),
        ("rejected/mend?code=INVALID_PARAMETER&field=x&reason=reason 5", "As they came"),
        ("people", "visitor"),
        ("people/visitor", "Timeline"),
        ("events/e5", "Normalised"),
        ("performance?dimension=campaign", "The first 100 of 301 rows are shown"),
        ("models?dimension=campaign&base=linear", "The first 50 of 301 rows are shown"),
    ],
)
def test_a_page_with_as_much_as_it_shows_is_small(admin: Visitor, path: str, told: str) -> None:
    page = admin.get(f"/apps/{APP}/{path}")
    assert len(page.content) <= MAX_PAGE_BYTES
    assert told in page.text, page.text[5_000:]
