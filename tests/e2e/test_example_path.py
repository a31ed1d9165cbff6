"""The documentation's own example: search ad, feed ad, direct visit, then a purchase, under the models."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

REVENUE = Decimal("299.00")


@pytest.fixture(scope="module")
def path(api: httpx.Client, eventually: Callable[..., Any], data: Callable[..., Any]) -> dict[str, Any]:
    """The answer of `GET /v1/attribution?conversion_id=…` for a visitor who took that path."""
    now = datetime.now(UTC)
    visits = [
        ("https://shop.example/?gclid=abc", "https://www.google.com/", 8),
        ("https://shop.example/?utm_source=douyin&utm_medium=feed&utm_campaign=spring", "", 5),
        ("https://shop.example/", "", 1),
    ]
    for url, referrer, hours in visits:
        page = {"url": url, "referrer": referrer}
        send(api, "page_view", now - timedelta(hours=hours), {}, {"page": page})
    order = {"order_id": "example-1", "revenue": float(REVENUE), "currency": "CNY"}
    event_id = send(api, "purchase", now - timedelta(minutes=55), order, {})

    def attributed() -> dict[str, Any] | None:
        response = api.get(f"/v1/events/{event_id}")
        conversions = response.json()["data"]["status"]["conversions"] if response.status_code == 200 else []
        if not any(conversion["is_attributed"] for conversion in conversions):
            return None
        parameters = {"conversion_id": conversions[0]["conversion_id"], "model": "all"}
        found = data(api.get("/v1/attribution", params=parameters))
        return found if sum(touch["is_kept"] for touch in found["touches"]) == 3 else None

    found: dict[str, Any] = eventually(attributed)
    return found


def send(api: httpx.Client, name: str, at: datetime, properties: dict[str, Any], context: dict[str, Any]) -> str:
    event = {
        "event_name": name,
        "user_id": "example-path",
        "timestamp": at.isoformat(),
        "properties": properties,
        "context": context,
    }
    response = api.post("/v1/events/track", json=event)
    assert response.status_code == 201, response.text
    return str(response.json()["data"]["event_id"])


def shares(path: dict[str, Any], model: str, what: str = "credit") -> list[Decimal]:
    return [Decimal(str(touch["models"][model][what])) for touch in path["touches"]]


def test_the_path_is_told_touch_by_touch(path: dict[str, Any]) -> None:
    touches = [(touch["channel"], touch["touch_type"]) for touch in path["touches"]]
    assert touches == [("paid_search", "click"), ("feed", "click"), ("direct", "visit")]
    assert path["conversion"]["value"] == REVENUE
    assert path["conversion"]["goal"] == "purchase"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("last_click", ["0", "1", "0"]),
        ("first_click", ["1", "0", "0"]),
        ("position_based", ["0.4", "0.2", "0.4"]),
    ],
)
def test_documented_credits(path: dict[str, Any], model: str, expected: list[str]) -> None:
    assert shares(path, model) == [Decimal(share) for share in expected]


def test_linear_gives_a_third_each_to_six_places(path: dict[str, Any]) -> None:
    assert shares(path, "linear") == [Decimal("0.333333"), Decimal("0.333333"), Decimal("0.333334")]


def test_time_decay_rises_towards_the_conversion_by_its_half_life(path: dict[str, Any]) -> None:
    """2^(-age / 7 days), as documented; ages from the answer itself."""
    found = shares(path, "time_decay")
    assert found == sorted(found)
    assert len(set(found)) == 3
    weights = [2 ** (-float(touch["age_seconds"]) / (7 * 86_400)) for touch in path["touches"]]
    for share, weight in zip(found, weights, strict=True):
        assert float(share) == pytest.approx(weight / sum(weights), abs=1e-6)


@pytest.mark.parametrize(
    "model", ["last_click", "first_click", "linear", "time_decay", "position_based", "last_non_direct"]
)
def test_credits_sum_to_one_and_values_to_the_value(path: dict[str, Any], model: str) -> None:
    assert sum(shares(path, model)) == 1
    assert sum(shares(path, model, "value")) == REVENUE
