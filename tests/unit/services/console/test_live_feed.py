"""Feeds of live events: read once for all who watch, each row told once, and bounded."""

import asyncio
from contextlib import aclosing
from typing import Any

from schemas.control import App
from schemas.events import shown
from services.console import live_feed, server_sent
from services.console.live_feed import MOST_ROWS, LiveFeeds
from services.console.reading import ReadFailed

STEP_MS = 20_000
"""Time between one event and the next: more than a watcher is told of from before."""
TIME = "2026-11-28T10:00:00+00:00"


def item(number: int) -> dict[str, Any]:
    named = {"event_id": f"e{number}", "event_name": "page_view", "timestamp": TIME, "received_at": TIME}
    shown_fields = shown(lambda one: False if one.name == "is_bot" else None)
    return (
        named
        | {"user_id": "u", "anonymous_id": None, "properties": {}, "stored_at_ms": number * STEP_MS}
        | shown_fields
    )


class Tables:
    """Stored events, as the query service lists them."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.reads: list[int] = []
        self.is_away = False

    async def read(self, _app_id: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.reads.append(asked["after_ms"])
        await asyncio.sleep(0)
        if self.is_away:
            raise ReadFailed(503, "SERVER_ERROR", "")
        found = [one for one in self.items if one["stored_at_ms"] > asked["after_ms"]]
        return {"items": found[::-1][: asked["limit"]]}


def feeds_of(tables: Tables, monkeypatch: Any) -> LiveFeeds:
    monkeypatch.setattr(live_feed, "_POLL_SECONDS", 0.001)
    return LiveFeeds(tables.read, lambda app_id: App(app_id, "Shop"))


async def told(feeds: LiveFeeds, until: str, user: str = "u", after_ms: int = 0) -> list[str]:
    """The ids that a watcher is told, to that one."""
    ids: list[str] = []
    async with aclosing(feeds.watch(user, "shop", (), after_ms)) as watched:
        async for rows, _ in watched:
            ids += [row.event_id for row in rows]
            if until in ids:
                break
    return ids


async def test_each_watcher_is_told_each_row_once_and_all_share_a_feed(monkeypatch: Any) -> None:
    tables = Tables()
    tables.items = [item(number) for number in range(1, 4)]
    feeds = feeds_of(tables, monkeypatch)
    watchers = [asyncio.create_task(told(feeds, "e6", f"u{number}", number * STEP_MS)) for number in range(3)]
    async with asyncio.timeout(30):
        while feeds.watching < 3:
            await asyncio.sleep(0)
    for number in range(4, 7):
        tables.items.append(item(number))
        await asyncio.sleep(0.005)  # a pace: the rows come in readings of their own, or together
    async with asyncio.timeout(30):
        found = await asyncio.gather(*watchers)
    assert found == [[f"e{number}" for number in range(first, 7)] for first in (1, 1, 2)], "each again the last it had"
    assert feeds.watching == 0
    assert not feeds._feeds, "a feed ends with its last watcher"


async def test_a_feed_keeps_few_rows_however_many_come(monkeypatch: Any) -> None:
    tables = Tables()
    feeds = feeds_of(tables, monkeypatch)
    watched = feeds.watch("u", "shop", (), 0)
    assert await anext(watched) == ([], True)
    tables.items = [item(number) for number in range(1, 10 * MOST_ROWS)]
    (feed,) = feeds._feeds.values()
    async with asyncio.timeout(30):
        while not feed.count:
            await asyncio.sleep(0.001)
    rows, _ = await anext(watched)
    assert [row.event_id for row in rows] == [f"e{number}" for number in range(9 * MOST_ROWS, 10 * MOST_ROWS)]
    await watched.aclose()


async def test_a_watcher_is_told_when_the_events_cannot_be_read_and_when_they_can(monkeypatch: Any) -> None:
    monkeypatch.setattr(live_feed, "TICK_SECONDS", 0.01)
    tables = Tables()
    tables.is_away = True
    feeds = feeds_of(tables, monkeypatch)
    async with asyncio.timeout(30), aclosing(feeds.watch("u", "shop", (), 0)) as watched:
        async for _, is_there in watched:
            if is_there and not tables.is_away:
                break
            tables.is_away = is_there
    assert len(tables.reads) >= 3


async def test_nobody_watches_once_it_is_closed(monkeypatch: Any) -> None:
    feeds = feeds_of(Tables(), monkeypatch)
    watcher = asyncio.create_task(told(feeds, "never"))
    async with asyncio.timeout(30):
        while not feeds.watching:
            await asyncio.sleep(0)
    feeds.close()
    async with asyncio.timeout(30):
        assert await watcher == []
    assert await told(feeds, "never") == []


def test_a_message_holds_any_text_line_by_line() -> None:
    assert server_sent.message("rows", "a\nb", "7") == b"event: rows\ndata: a\ndata: b\nid: 7\n\n"
    assert server_sent.message("end") == b"event: end\ndata: \n\n"
    assert b"\n\n" not in server_sent.message("rows", "a\r\n\r\nevent: end\n\nb").removesuffix(b"\n\n")
