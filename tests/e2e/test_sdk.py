"""The browser SDK in Chromium with the running product: from a page to the credit of a conversion."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from chromium import chromium
from operator_commands import attrikit
from sdk_server import SdkServer

from deploy.demo.product import Product

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
