"""The browser SDK in Chromium with the running product: from a page to the credit of a conversion, and through faults.

The walk through faults has 10 pages with 20 events each and outages of a second; `ATTRIKIT_TEST_SDK_PAGES=50` makes it
1,000 events and the outages 10 seconds long, `ATTRIKIT_TEST_SEED` draws other faults.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
import pytest
from chromium import chromium, kill_renderers
from faulty_relay import FaultyRelay
from operator_commands import attrikit, ledger_totals
from sdk_server import SdkServer

from deploy.demo.product import Product

PAGES = int(os.environ.get("ATTRIKIT_TEST_SDK_PAGES", "10"))
SEED = int(os.environ.get("ATTRIKIT_TEST_SEED", "23"))
EVENTS_OF_A_PAGE = 20
OFFLINE_SECONDS = 0.5
OUTAGE_SECONDS = 1 if PAGES < 50 else 10
ENDS = ("leave", "close", "reload", "kill", "outage", "offline", "stay", "leave", "close", "kill")
TRACK = """([run, number, count]) => {
    for (let i = 0; i < count; i++) AttriKit.track('step', {number}, {eventId: `${run}-${number}-${i}`}) }"""
IS_EMPTY = """() => {
    dispatchEvent(new Event('online'));  // instead of waiting out the back-off of minutes
    return !Object.keys(localStorage).some(name => name.includes('.q.')) }"""
ALLOWED = timedelta(seconds=1)
THREE_HOURS_BEHIND = "{ const now = Date.now; Date.now = () => now() - 3 * 3_600_000 }"


@pytest.fixture(scope="module")
def endpoint(product: Product) -> str:
    """The gateway under a name of the site's own, whose pages may report by the app's id."""
    set_up = attrikit(product, "apps", "set", "demo", "--allow-app-id")
    assert set_up.returncode == 0, set_up.stderr
    return f"http://events.shop.test:{product.base_url.rpartition(':')[2]}"


@pytest.fixture(scope="module")
def site() -> Iterator[SdkServer]:
    server = SdkServer()
    yield server
    server.close()


@pytest.fixture
def visitor(endpoint: str, site: SdkServer, eventually: Callable[..., Any]) -> tuple[str, datetime, list[Any]]:
    """A visit by an ad, of a browser whose clock is wrong: views, a purchase, a closed page, one more view."""
    site.pages["/"] = site.pages["/thanks"] = (
        f"<title>shop</title><script src='{endpoint}/sdk/latest/attrikit.min.js'></script>"
        "<script>AttriKit.init({appId: 'demo'})</script>"
    )
    with chromium() as browser:
        context = browser.new_context()
        context.add_init_script(THREE_HOURS_BEHIND)
        page = context.new_page()
        requests: list[Any] = []
        page.on("request", lambda request: requests.append(request))

        def may_report() -> bool:
            page.goto(site.url("www.shop.test", "/?gclid=sdk-1"))
            page.evaluate("AttriKit.flush()")
            return any(one.response() and one.response().status == 201 for one in requests)

        started = datetime.now(UTC)
        eventually(may_report)
        for route in ("/a", "/b", "/c"):
            page.evaluate("url => history.pushState({}, '', url)", route)
            page.wait_for_timeout(20)
        page.evaluate("() => { AttriKit.track('purchase', {order_id: 'sdk-1', revenue: 7, currency: 'CNY'}) }")
        page.goto(site.url("shop.test", "/thanks"))
        page.evaluate("AttriKit.flush()")
        visitor = page.evaluate("AttriKit.getVisitorId()")
        seen = [context.cookies(), [one.method for one in requests]]
    return visitor, started, seen


def test_a_visit_by_an_ad_is_stored_once_and_its_purchase_credited(
    visitor: tuple[str, datetime, list[Any]],
    api: httpx.Client,
    data: Callable[..., Any],
    eventually: Callable[..., Any],
    settled: Callable[[], None],
) -> None:
    visitor_id, started, (cookies, methods) = visitor

    def stored() -> Any:
        found = data(api.get("/v1/events", params={"anonymous_id": visitor_id, "limit": 100}))["items"]
        return (
            found if {item["context"]["page"]["url"].rpartition("/")[2] for item in found} >= {"c", "thanks"} else None
        )

    items = eventually(stored)
    settled()
    assert len({item["event_id"] for item in items}) == len(items)
    for item in items:
        at = datetime.fromisoformat(item["timestamp"])
        assert started - ALLOWED <= at <= datetime.now(UTC) + ALLOWED, "the browser's clock was three hours behind"
        assert not item["is_bot"], item
    (cookie,) = [one for one in cookies if one["name"] == "attrikit_vid"]
    assert (cookie["value"], cookie["domain"]) == (visitor_id, ".shop.test")
    assert "OPTIONS" not in methods
    found = data(api.get("/v1/conversions", params={"goal": "purchase", "limit": 1000}))["items"]
    (conversion,) = [one for one in found if one["anonymous_id"] == visitor_id]
    parameters = {"conversion_id": conversion["conversion_id"], "model": "last_click"}
    touches = data(api.get("/v1/attribution", params=parameters))["touches"]
    assert [(touch["channel"], touch["touch_type"], touch["source"]) for touch in touches] == [
        ("paid_search", "click", "google")
    ]


class Walk:
    """A person's way through pages, each of which ends in a way of its own."""

    def __init__(self, context: Any, site: SdkServer, relay: FaultyRelay) -> None:
        self._context, self._site, self._relay = context, site, relay
        self.page = context.new_page()
        self.views: Counter[str] = Counter()
        """Addresses of the pages that were loaded."""

    def open(self, number: int) -> None:
        url = self._site.url(path=f"/walk?page={number}")
        self.page.goto(url)
        self.views[url] += 1

    def end(self, how: str, number: int) -> None:
        """Track a page's events and end it."""
        self._relay.is_down = how == "outage"
        if how == "offline":
            self._context.set_offline(True)
        self.page.evaluate(TRACK, [f"walk-{SEED}", number, EVENTS_OF_A_PAGE])
        if how == "reload":
            self.page.reload()
            self.views[self.page.url] += 1
        elif how == "stay":
            self.page.evaluate("AttriKit.flush()")
        elif how in ("close", "kill"):
            if how == "kill":
                kill_renderers(self._context.browser)
            self.page.close()
            self.page = self._context.new_page()
        elif how in ("outage", "offline"):
            self.page.wait_for_timeout((OUTAGE_SECONDS if how == "outage" else OFFLINE_SECONDS) * 1_000)
        self._relay.is_down = False
        if how == "offline":
            self._context.set_offline(False)


@pytest.fixture
def relay(endpoint: str) -> Iterator[FaultyRelay]:
    made = FaultyRelay(int(endpoint.rpartition(":")[2]), SEED)
    yield made
    made.close()


@pytest.mark.timeout(600)
def test_through_faults_what_is_stored_is_what_was_tracked_each_once(
    product: Product, relay: FaultyRelay, site: SdkServer, api: httpx.Client, settled: Callable[[], None], data: Any
) -> None:
    site.pages["/walk"] = (
        f"<title>walk</title><script src='{relay.url}/sdk/latest/attrikit.min.js'></script>"
        "<script>AttriKit.init({appId: 'demo', batchTimeout: 50})</script>"
    )
    random = Random(SEED)
    ends = [how for _ in range(0, PAGES, len(ENDS)) for how in random.sample(ENDS, len(ENDS))][:PAGES]
    settled()
    before = ledger_totals(product, "demo")
    with chromium() as browser:
        walk = Walk(browser.new_context(), site, relay)
        for number, how in enumerate(ends):
            walk.open(number)
            walk.end(how, number)
        walk.open(PAGES)
        walk.page.wait_for_function(IS_EMPTY, polling=200)
        visitor = walk.page.evaluate("AttriKit.getVisitorId()")
    settled()
    events = list(events_of(visitor, api, data))
    tracked = {f"walk-{SEED}-{number}-{i}" for number in range(PAGES) for i in range(EVENTS_OF_A_PAGE)}
    steps = Counter(event["event_id"] for event in events if event["event_name"] == "step")
    assert steps == Counter(tracked)
    assert (
        Counter(event["context"]["page"]["url"] for event in events if event["event_name"] == "page_view") == walk.views
    )
    assert {0, 502, 503} <= set(relay.answers)
    after = ledger_totals(product, "demo")
    assert after["stored"] - before["stored"] == len(tracked) + walk.views.total()
    assert after["duplicates"] > before["duplicates"], "answers were lost, so events were sent again"
    assert after["rejected"] == before["rejected"]


def events_of(visitor: str, api: httpx.Client, data: Any) -> Iterator[Any]:
    cursor = ""
    while cursor is not None:
        parameters = {"anonymous_id": visitor, "limit": 1000} | ({"cursor": cursor} if cursor else {})
        found = data(api.get("/v1/events", params=parameters))
        yield from found["items"]
        cursor = found["next_cursor"]
