"""The result that validate predicts for an event is the real one."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

CASES = {
    "click": {"event_name": "page_view", "properties": {"page_url": "https://shop.example/?utm_source=baidu&gclid=1"}},
    "view": {"event_name": "ad_view", "properties": {"platform": "douyin", "campaign": "spring"}},
    "search": {"event_name": "page_view", "context": {"page": {"referrer": "https://www.baidu.com/"}}},
    "bare": {"event_name": "user_signup"},
    "single_page": {
        "event_name": "page_view",
        "properties": {"page_url": "https://shop.example/?spm=1#/item?utm_source=baidu&utm_medium=cpc"},
    },
    "properties": {
        "event_name": "page_view",
        "properties": {"page_url": "https://shop.example/", "utm_source": "baidu", "utm_medium": "cpc"},
    },
    "placeholder": {
        "event_name": "page_view",
        "properties": {"page_url": "https://shop.example/"},
        "context": {"campaign": {"source": "(direct)", "medium": "(none)"}},
    },
    "affiliate": {
        "event_name": "page_view",
        "properties": {"page_url": "https://shop.example/?utm_source=cj&utm_medium=affiliate&fbclid=1"},
    },
    "sale": {"event_name": "purchase", "properties": {"revenue": "19.99", "currency": "USD"}},
    "blanks": {"event_name": "purchase", "properties": {"revenue": 100, "currency": " usd "}},
    "rmb": {"event_name": "purchase", "properties": {"revenue": "1,299.00", "currency": "RMB"}},
    "yuan": {"event_name": "purchase", "properties": {"revenue": "¥1299"}},
    **{
        f"unreadable_{number}": {"event_name": "purchase", "properties": {"revenue": 100, "currency": currency}}
        for number, currency in enumerate(("US$", "$", "USDT", "euro"))
    },
    "many": {"event_name": "purchase", "properties": {"revenue": "many", "currency": "USD"}},
    "negative": {"event_name": "purchase", "properties": {"revenue": -5}},
}
VALUES = {
    "bare": (0, "CNY", None),
    "sale": (19.99, "USD", None),
    "blanks": (100, "USD", None),
    "rmb": (1299, "CNY", None),
    "yuan": (1299, "CNY", None),
    **{f"unreadable_{number}": (None, None, "unreadable_currency") for number in range(4)},
    "many": (None, "USD", "unreadable_value"),
    "negative": (None, "CNY", "negative_value"),
}
CHANNELS = {
    "click": ("paid_search", "click_id:gclid", "click"),
    "search": ("organic_search", "referrer:search_engine", "visit"),
    "single_page": ("paid_search", "tags:medium_and_source", "click"),
    "properties": ("paid_search", "tags:medium_and_source", "click"),
    "placeholder": ("direct", "direct", "visit"),
    "affiliate": ("affiliate", "tags:medium", "click"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_comes_as_foretold(
    name: str, api: httpx.Client, settled: Callable[[], None], data: Callable[..., Any]
) -> None:
    event = CASES[name] | {"event_id": f"foretold-{name}", "user_id": f"foretold-{name}-person"}
    (foretold,) = data(api.post("/v1/events/validate", json=event))["normalized"]
    if name in CHANNELS:
        assert (foretold["channel"], foretold["channel_rule"], foretold["touch_type"]) == CHANNELS[name]
    assert api.get(f"/v1/events/{event['event_id']}").status_code == 404, "validate stored it"
    assert api.post("/v1/events/track", json=event).status_code == 201
    settled()
    detail = data(api.get(f"/v1/events/{event['event_id']}"))
    assert detail["session"]["channel"] == foretold["channel"]
    goals = {goal["goal"]: (goal["value"], goal["currency"], goal["value_issue"]) for goal in foretold["goals"]}
    assert list(goals.values()) == ([VALUES[name]] if name in VALUES else [])
    met = data(api.get("/v1/conversions", params={"user_id": event["user_id"]}))["items"]
    assert len(met) == len(goals)
    if goals:
        assert {item["goal"]: (item["value"], item["currency"], item["value_issue"]) for item in met} == goals
        (conversion,) = met
        assert [each["value_issue"] for each in detail["status"]["conversions"]] == [conversion["value_issue"]]
        asked = {"conversion_id": conversion["conversion_id"]}
        touches = data(api.get("/v1/attribution", params=asked))["touches"]
        # Where nothing is known of how the person came, the path is one direct visit.
        path_type, path_channel = foretold["touch_type"] or "visit", foretold["channel"] or "direct"
        assert [(touch["touch_type"], touch["channel"]) for touch in touches] == [(path_type, path_channel)]
