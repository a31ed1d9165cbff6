"""Ways in beside the API's own: a page with an app's id and no key, and Segment's messages. Told over HTTP alone."""

from collections.abc import Callable
from typing import Any

import httpx

from deploy.demo.product import Product
from pipeline.control import ControlPlane
from schemas.control import App, Scope

PAGE = "https://www.shop.example"


def test_a_page_reports_with_the_apps_id_reads_nothing_and_its_events_say_so(
    product: Product, eventually: Callable[..., Any], data: Callable[..., Any]
) -> None:
    plane = ControlPlane(product.settings.control_plane_dsn())
    plane.create_app(App("by-id", "By id", allowed_origins=(PAGE,), allows_app_id=True), 1)
    key = plane.create_key("by-id", [Scope.READ], 1).secret
    plane.close()
    with httpx.Client(base_url=product.base_url, timeout=30.0, trust_env=False) as page:
        asked = {"params": {"app_id": "by-id"}, "headers": {"Origin": PAGE, "Content-Type": "text/plain"}}
        event = b'{"events": [{"event_name": "page_view", "event_id": "by-id-1", "anonymous_id": "by-id-visitor"}]}'
        eventually(lambda: page.post("/v1/events/batch", content=event, **asked).status_code == 201)
        assert page.get("/v1/events", **asked).status_code == 401
        reader = {"Authorization": f"Bearer {key}"}
        # The store learns of the key by itself.
        eventually(lambda: page.get("/v1/events", headers=reader).status_code == 200)
        found = eventually(lambda: data(page.get("/v1/events", headers=reader))["items"])
    assert [(item["event_id"], item["key_id"]) for item in found] == [("by-id-1", "app_id")]


def test_segments_identify_joins_what_the_visitor_did_before(
    product: Product, api: httpx.Client, settled: Callable[[], None], data: Callable[..., Any]
) -> None:
    visit = {"type": "page", "anonymousId": "segment-visitor", "context": {"page": {"url": PAGE + "/?gclid=x"}}}
    order = {"type": "track", "event": "Purchase", "userId": "segment-user", "properties": {"revenue": 5}}
    login = {"type": "identify", "userId": "segment-user", "anonymousId": "segment-visitor"}
    alias = {"type": "alias", "userId": "segment-user", "previousId": "segment-before"}
    before = {"type": "screen", "anonymousId": "segment-before"}
    answer = httpx.post(
        product.base_url + "/segment/v1/batch",
        json={"batch": [visit, before, login, alias, order]},
        auth=(product.key, ""),
        trust_env=False,
    )
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    settled()
    user = data(api.get("/v1/users/segment-visitor"))["user"]
    assert (user["user_id"], sorted(user["linked_ids"])) == ("segment-user", ["segment-before", "segment-visitor"])
    assert (user["first_channel"], user["conversions"], user["events"]) == ("paid_search", 1, 5)
