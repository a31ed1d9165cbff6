"""An order is sent by a visitor, and again, under the same `event_id`, once the visitor is known: it is one order."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from operator_commands import attrikit

from deploy.demo.product import Product


def times_of(kind: str, at: datetime) -> dict[str, str]:
    """`sent_at`: a clock an hour behind, read anew for every sending."""
    if kind == "without":
        return {}
    if kind == "timestamp":
        return {"timestamp": at.isoformat()}
    hour = timedelta(hours=1)
    return {"timestamp": (at - hour).isoformat(), "sent_at": (datetime.now(UTC) - hour).isoformat()}


@pytest.mark.parametrize("kind", ["timestamp", "without", "sent_at"])
def test_an_order_sent_again_after_the_login_is_one(
    kind: str,
    product: Product,
    api: httpx.Client,
    eventually: Callable[..., Any],
    settled: Callable[[], None],
    data: Callable[..., Any],
) -> None:
    browser, customer, order, campaign = (f"{name}-{kind}" for name in ("browser", "u_42", "order-77", "again"))
    now = datetime.now(UTC)
    ad = {"page": {"url": f"https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign={campaign}"}}

    def send(name: str, **fields: Any) -> None:
        event = {"event_name": name, "anonymous_id": browser, "properties": {"revenue": 100}} | fields
        assert api.post("/v1/events/track", json=event).status_code == 201

    def detail() -> dict[str, Any]:
        answer = api.get(f"/v1/events/{order}")
        return data(answer) if answer.status_code == 200 else {"status": {"conversions": [], "repeats": 0}}

    def user() -> dict[str, Any]:
        answer = api.get(f"/v1/users/{customer}")
        return data(answer)["user"] if answer.status_code == 200 else {"events": 0, "linked_ids": []}

    before = times_of("timestamp", now - timedelta(seconds=5)) if kind != "without" else {}
    send("page_view", event_id=f"visit-{kind}", context=ad, **before)
    send("purchase", event_id=order, **times_of(kind, now))
    eventually(lambda: detail()["status"]["conversions"])
    send("purchase", event_id=order, user_id=customer, **times_of(kind, now))
    settled()

    assert detail()["status"]["repeats"] == 1
    found = user()
    assert (found["linked_ids"], found["events"]) == ([browser], 2)
    assert (found["sessions"], found["conversions"], found["values"]) == (1, 1, {"CNY": 100})
    (conversion,) = data(api.get("/v1/conversions", params={"user_id": customer}))["items"]
    assert (conversion["event_id"], conversion["value"]) == (order, 100)
    path = data(api.get("/v1/attribution", params={"conversion_id": conversion["conversion_id"]}))
    assert [(touch["channel"], touch["campaign"]) for touch in path["touches"]] == [("paid_search", campaign)]
    assert (detail()["session"]["events"], detail()["session"]["conversions"]) == (2, 1)
    listed = data(api.get(f"/v1/users/{customer}/events"))["items"]
    assert [event["event_id"] for event in listed] == [order, f"visit-{kind}"]
    items = data(api.get("/v1/reports/performance", params={"dimension": "campaign"}))["items"]
    (row,) = [item for item in items if item["key"] == campaign]
    assert (row["sessions"], row["conversions"], row["value"]) == (1, 1, 100)
    done = attrikit(product, "ledger")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["timestamp", "without"])
def test_an_order_reported_by_browser_and_backend_is_one(
    kind: str, product: Product, api: httpx.Client, settled: Callable[[], None], data: Callable[..., Any]
) -> None:
    """Nobody ever says that the two ids are one person's."""
    order, at = f"order-88-{kind}", datetime.now(UTC)
    event = {"event_name": "purchase", "event_id": order, "properties": {"revenue": 100}} | times_of(kind, at)
    assert api.post("/v1/events/track", json=event | {"anonymous_id": f"alone-{kind}"}).status_code == 201
    assert api.post("/v1/events/track", json=event | {"user_id": f"u_88-{kind}"}).status_code == 201
    batch = data(api.post("/v1/events/batch", json={"events": [event | {"user_id": f"u_88-{kind}"}]}), status=200)
    assert [result["status"] for result in batch["results"]] == ["duplicate"]
    settled()
    detail = data(api.get(f"/v1/events/{order}"))
    assert detail["status"]["conversions"]
    assert detail["event"]["anonymous_id"] == f"alone-{kind}"
    done = attrikit(product, "ledger")
    assert done.returncode == 0, done.stdout + done.stderr
    everything = data(api.get("/v1/events", params={"event_name": "purchase"}))["items"]
    assert [item["event_id"] for item in everything].count(order) == 1
    assert api.get(f"/v1/users/u_88-{kind}").status_code == 404
