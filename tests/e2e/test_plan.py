"""A free-plan app of the running product: reports and reads count together, each once, although reads are forwarded."""

from collections.abc import Callable
from typing import Any

import httpx

from deploy.demo.product import Product
from pipeline.control import ControlPlane
from pipeline.runtime.settings import Settings
from schemas.control import App, Plan, Scope


def test_reports_and_reads_count_together_and_once(product: Product, eventually: Callable[..., Any]) -> None:
    plane = ControlPlane(Settings(data_dir=product.data_dir).control_plane_dsn())
    plane.create_app(App("small", "Small", Plan.FREE), 0)
    write, read = (plane.create_key("small", [scope], 0).secret for scope in (Scope.WRITE, Scope.READ))
    plane.close()

    def call(key: str, method: str, path: str, **given: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.request(method, product.base_url + path, headers=headers, trust_env=False, timeout=30.0, **given)

    # Each process learns of the app and of each key by itself: the store answers the read, the gateway counts it.
    eventually(lambda: call(read, "GET", "/v1/events").status_code == 200)
    eventually(lambda: "ratelimit-remaining" in call(read, "GET", "/v1/events").headers)
    eventually(lambda: call(write, "POST", "/v1/events/track", json={"event_name": "page_view"}).status_code == 201)
    found = [
        call(write, "POST", "/v1/events/track", json={"event_name": "page_view"}),
        call(read, "GET", "/v1/events"),
        call(read, "GET", "/v1/reports/performance", params={"dimension": "channel"}),
        call(read, "GET", "/v1/events", params={"limit": "none"}),
        call(read, "GET", "/v1/nowhere"),
        call(write, "GET", "/v1/events"),
        call(read, "GET", "/v1/users"),
    ]
    assert [answer.status_code for answer in found] == [201, 200, 200, 400, 404, 403, 200]
    left = [answer.headers.get_list("ratelimit-remaining", split_commas=True) for answer in found]
    first = int(left[0][0])
    assert left == [[str(first - n)] for n in range(len(found))]
