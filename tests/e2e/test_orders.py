"""A refund is of an order of the app: it comes to net 0 in every answer, whoever sends it and whenever."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

CASES: dict[str, tuple[dict[str, str], float, float]] = {
    "nobody": ({}, 0.2, 0.1),
    "another": ({"user_id": "u9"}, 0.2, 0.1),
    "40-days-later": ({"user_id": "u9"}, 45, 5),
}
"""Cases: who sends the refund; how many days ago the purchase and the refund were."""


@pytest.mark.parametrize("name", CASES)
def test_a_refund_finds_its_order(
    name: str,
    api: httpx.Client,
    eventually: Callable[..., Any],
    settled: Callable[[], None],
    data: Callable[..., Any],
) -> None:
    sender, bought_days, refunded_days = CASES[name]
    buyer, order, campaign = f"buyer-{name}", f"order-{name}", f"orders-{name}"
    ad = {"page": {"url": f"https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign={campaign}"}}

    def send(event: dict[str, Any], days_ago: float) -> None:
        at = datetime.now(UTC) - timedelta(days=days_ago)
        assert api.post("/v1/events/track", json=event | {"timestamp": at.isoformat()}).status_code == 201

    def conversion() -> dict[str, Any]:
        items: list[dict[str, Any]] = data(api.get("/v1/conversions", params={"user_id": buyer}))["items"]
        return items[0] if items else {}

    properties = {"order_id": order, "revenue": 100, "currency": "CNY"}
    send({"event_name": "page_view", "user_id": buyer, "context": ad}, bought_days + 0.001)
    send({"event_name": "purchase", "user_id": buyer, "properties": properties}, bought_days)
    assert eventually(conversion)["value"] == 100
    send(
        {"event_name": "refund", "event_id": f"back-{name}", "properties": {"order_id": order}, **sender}, refunded_days
    )
    settled()

    assert conversion()["refunded"] == 100
    outcome = data(api.get(f"/v1/events/back-{name}"))["status"]["refund"]
    assert (outcome["order_id"], outcome["state"]) == (order, "applied")
    assert [(part["goal"], part["value"], part["refunded"]) for part in outcome["conversions"]] == [
        ("purchase", 0, 100)
    ]
    assert (conversion()["value"], conversion()["first_channel"]) == (0, "paid_search")
    assert data(api.get(f"/v1/users/{buyer}"))["user"]["values"] == {"CNY": 0}
    path = data(api.get("/v1/attribution", params={"conversion_id": conversion()["conversion_id"]}))
    assert (path["revision"], path["reason"], path["supersedes"]) == (2, "refund", 1)
    assert {total["value"] for total in path["totals"].values()} == {0}
    everything = {"dimension": "campaign", "from": (datetime.now(UTC) - timedelta(days=60)).date().isoformat()}
    for report, value in (("reports/performance", "value"), ("attribution", "")):
        items = data(api.get(f"/v1/{report}", params=everything))["items"]
        (row,) = [item for item in items if item["key"] == campaign]
        assert {model["credited_value"] for model in row["models"].values()} == {0}
        assert not value or row[value] == 0


def test_a_refund_that_finds_no_order_says_so_and_waits(
    api: httpx.Client, eventually: Callable[..., Any], data: Callable[..., Any]
) -> None:
    refund = {"event_name": "refund", "event_id": "back-early", "properties": {"order_id": "order-early", "amount": 30}}
    assert api.post("/v1/events/track", json=refund).status_code == 201

    def outcome() -> dict[str, Any]:
        answer = api.get("/v1/events/back-early")
        found: dict[str, Any] = data(answer)["status"]["refund"] if answer.status_code == 200 else {"state": ""}
        return found

    def waiting() -> list[str]:
        return [item["event_id"] for item in data(api.get("/v1/events", params={"awaiting_order": "true"}))["items"]]

    eventually(lambda: outcome()["state"] == "waiting")
    assert outcome() == {"order_id": "order-early", "state": "waiting", "conversions": []}
    assert "back-early" in waiting()
    purchase = {
        "event_name": "purchase",
        "user_id": "late-buyer",
        "properties": {"order_id": "order-early", "revenue": 100},
    }
    assert api.post("/v1/events/track", json=purchase).status_code == 201
    eventually(lambda: outcome()["state"] == "applied")
    assert [(part["value"], part["refunded"]) for part in outcome()["conversions"]] == [(70, 30)]
    assert "back-early" not in waiting()
