"""Live events: the page with what was stored last, and the stream of what comes, over a console with its reads."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import msgspec
import pytest
from console_reads import store_event
from console_world import ADMIN, FOREIGN_APP, OWN_APP, PASSWORD_HASH, USER, ConsoleWorld, Visitor
from waiting import until

from pipeline.control.users import Role, User
from pipeline.runtime.clickhouse import ClickHouse
from pipeline.runtime.clock import now_ms
from schemas.events import AcceptedEvent
from services.console.live_feed import MAX_OF_ONE

LIVE = f"/apps/{FOREIGN_APP}/live"
LONG_AGO_MS = 1_705_314_600_000
TAGGED = "https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign=spring"


def event(event_id: str, name: str = "page_view", page_url: str = TAGGED) -> AcceptedEvent:
    """An event of the app, received now, of a time long ago."""
    properties = msgspec.Raw(b'{"price": 19.90}')
    received_us = now_ms() * 1000
    return AcceptedEvent(FOREIGN_APP, event_id, name, LONG_AGO_MS, received_us, "", "visitor", properties, page_url)


def messages(answer: httpx.Response) -> Iterator[tuple[str, str]]:
    """(event, data) of the messages of a stream."""
    name, data = "", ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name, data = line.removeprefix("event: "), ""
        elif line.startswith("data: "):
            data += line.removeprefix("data: ")
        elif not line and name:
            yield name, data
            name = ""


def wait_for(told: Iterator[tuple[str, str]], name: str, text: str = "") -> str:
    """The data of the first message of that name with that text. A stream that ends without it fails."""
    return next(data for one, data in told if one == name and text in data)


def watching(console: ConsoleWorld) -> int:
    return int(console.app.state.console.live.watching)


@pytest.fixture(scope="module")
def zoe(console: ConsoleWorld) -> Visitor:
    """A user who was given the app."""
    user = User("usr_zoe", "zoe", Role.USER, app_ids=frozenset({FOREIGN_APP}), password_hash=PASSWORD_HASH)
    console.users.add(user, now_ms())
    return console.visitor("zoe")


def test_what_was_received_last_is_shown_with_its_channel_and_the_rule(admin: Visitor, tables: ClickHouse) -> None:
    assert "No event yet" in admin.get(LIVE).text
    store_event(tables, event("live-1"))
    store_event(tables, event("live-2", "renewal", ""))
    page = admin.get(LIVE).text
    assert page.index("live-2") < page.index("live-1"), "the one received last comes first"
    assert "its own time: 2024-01-15" in page
    assert "Paid search" in page
    assert "tags:medium" in page
    assert "no arrival" in page
    filtered = admin.get(LIVE + "?event_name=renewal").text
    assert "live-1" not in filtered
    assert "live-2" in filtered
    assert "No such event yet" in admin.get(LIVE + "?event_name=nothing").text
    assert admin.get(LIVE + "?event_name=Not+A+Name").status_code == 400


def test_an_event_tells_what_it_says_by_itself_beside_what_was_sent(admin: Visitor, tables: ClickHouse) -> None:
    store_event(tables, event("live-3"))
    page = admin.get(f"/apps/{FOREIGN_APP}/events/live-3").text
    assert "tags:medium" in page
    assert "ad click" in page
    assert "19.90" in page, "a number as it was sent"
    assert "context.page.url" in page


def test_an_event_comes_by_the_stream_and_the_stream_ends_with_the_session(
    console: ConsoleWorld, tables: ClickHouse, zoe: Visitor
) -> None:
    with zoe.client.stream("GET", f"{LIVE}/stream?after={now_ms()}&event_name=page_view") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers, "a message is not held back to be compressed"
        told = messages(answer)
        assert wait_for(told, "state") == "live"
        store_event(tables, event("live-other", "renewal"))
        store_event(tables, event("live-4"))
        row = wait_for(told, "rows", "live-4")
        assert "Paid search" in row
        assert "live-other" not in row
        other = Visitor(console.url)
        other.client.cookies.update(zoe.client.cookies)
        assert other.submit("/logout").status_code == 303
        wait_for(told, "end")
        assert list(told) == []
    asyncio.run(until(lambda: watching(console) == 0, "the watcher leaves", 30))
    with zoe.client.stream("GET", f"{LIVE}/stream") as answer:
        assert answer.status_code == 303, "to the login"


def test_a_stream_ends_when_the_app_is_taken_away(console: ConsoleWorld, admin: Visitor, zoe: Visitor) -> None:
    zoe = console.visitor("zoe")
    with zoe.client.stream("GET", f"{LIVE}/stream") as answer:
        told = messages(answer)
        assert wait_for(told, "state") == "live"
        answered = admin.submit("/users/usr_zoe", role="user", is_active="yes", app=OWN_APP)
        assert answered.status_code == 303
        wait_for(told, "end")
    assert zoe.get(LIVE).status_code == 404


def test_a_stream_goes_on_after_what_its_page_had_last(admin: Visitor, tables: ClickHouse) -> None:
    store_event(tables, event("live-5"))
    headers = {"Last-Event-ID": str(now_ms() - 60_000)}
    with admin.client.stream("GET", f"{LIVE}/stream?after={now_ms()}", headers=headers) as answer:
        assert "live-5" in wait_for(messages(answer), "rows")


def test_a_user_has_few_streams_and_one_that_is_closed_makes_room(world: ConsoleWorld) -> None:
    user, path = world.visitor(USER), f"/apps/{OWN_APP}/live/stream"
    with ExitStack() as stack:
        answers: list[Any] = [stack.enter_context(user.client.stream("GET", path)) for _ in range(MAX_OF_ONE)]
        for told in [messages(answer) for answer in answers]:
            assert wait_for(told, "state") == "away", "there is no query service here"
        with user.client.stream("GET", path) as refused:
            assert refused.status_code == 429
        with world.visitor(ADMIN).client.stream("GET", path) as another:
            assert another.status_code == 200
    asyncio.run(until(lambda: watching(world) == 0, "the watchers leave", 30))
    with user.client.stream("GET", path) as answer:
        assert answer.status_code == 200


def test_streams_end_when_the_process_stops(world: ConsoleWorld) -> None:
    with world.visitor(USER).client.stream("GET", f"/apps/{OWN_APP}/live/stream") as answer:
        told = messages(answer)
        assert wait_for(told, "state") == "away"
        world.servers.run(_closed(world))
        assert list(told) == [], "its connection ends; the page connects again by itself"


def _closed(world: ConsoleWorld) -> Any:
    async def close() -> None:
        world.app.state.console.live.close()

    return close
