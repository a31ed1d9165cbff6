"""One person and five crawlers: what each report says of them."""

from collections.abc import Callable
from typing import Any

import httpx

PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
CRAWLERS = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
]


def _visit(number: int, agent: str) -> list[dict[str, Any]]:
    common = {"anonymous_id": f"crawl-{number}", "context": {"user_agent": agent, "campaign": {"name": "crawled"}}}
    page = {"page_url": "https://shop.example/?utm_source=news&utm_medium=email"}
    return [
        common | {"event_name": "page_view", "properties": page},
        common | {"event_name": "user_signup"},
    ]


def test_one_person_and_five_crawlers(api: httpx.Client, data: Any, eventually: Callable[..., Any]) -> None:
    events = [event for number, agent in enumerate([PERSON, *CRAWLERS]) for event in _visit(number, agent)]
    sent = data(api.post("/v1/events/batch", json={"events": events}), 201)
    assert sent["accepted"] == len(events)
    assert [warning["index"] for warning in sent["warnings"] if warning["code"] == "BOT"] == list(range(2, 12))

    def counts(**given: str) -> tuple[int, int, int, int, int]:
        report = data(api.get("/v1/reports/performance", params={"dimension": "campaign", "model": "linear"} | given))
        found = [item for item in report["items"] if item["key"] == "crawled"]
        users = data(api.get("/v1/users", params={"limit": 1000} | given))["items"]
        listed = data(api.get("/v1/conversions", params={"limit": 1000} | given))["items"]
        return (
            sum(item["sessions"] for item in found),
            sum(item["users"] for item in found),
            sum(item["conversions"] for item in found),
            sum(user["id"].startswith("crawl-") for user in users),
            sum((conversion["anonymous_id"] or "").startswith("crawl-") for conversion in listed),
        )

    eventually(lambda: counts(include_bots="true") == (6, 6, 6, 6, 6))
    assert counts() == (1, 1, 1, 1, 1)
    stored = data(api.get("/v1/events", params={"anonymous_id": "crawl-3"}))["items"]
    assert [event["is_bot"] for event in stored] == [True, True]
