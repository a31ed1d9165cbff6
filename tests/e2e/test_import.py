"""A past that is imported while live traffic goes on counts: sessions, touches, conversions and credit."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

PEOPLE = [f"import-{number:02}" for number in range(20)]
AD = {"page": {"url": "https://shop.example/?utm_source=baidu&utm_medium=cpc&utm_campaign=import"}}


@pytest.fixture(scope="module")
def imported(
    api: httpx.Client, eventually: Callable[..., Any], settled: Callable[[], None], data: Callable[..., Any]
) -> datetime:
    """Purchases come before the visits they follow, in a batch of their own. Returns when the visits were."""
    now = datetime.now(UTC)
    past = now - timedelta(days=2)
    live = [{"event_name": "page_view", "user_id": f"import-live-{n}", "timestamp": now.isoformat()} for n in range(60)]
    visits = [
        {"event_name": "page_view", "event_id": f"{person}-visit", "anonymous_id": person, "context": AD}
        | {"timestamp": past.isoformat()}
        for person in PEOPLE
    ]
    purchases = [
        {"event_name": "purchase", "event_id": f"{person}-order", "anonymous_id": person, "properties": {"revenue": 10}}
        | {"timestamp": (past + timedelta(minutes=10)).isoformat()}
        for person in PEOPLE
    ]
    for batch in (live, purchases):
        assert api.post("/v1/events/batch", json={"events": batch}).status_code == 201
    eventually(lambda: len(closed_sessions(api, data)) == len(PEOPLE))
    assert api.post("/v1/events/batch", json={"events": visits}).status_code == 201
    settled()
    assert [session["events"] for session in closed_sessions(api, data)] == [2] * len(PEOPLE)
    return past


def test_validate_says_that_such_a_past_may_be_late(
    api: httpx.Client, data: Callable[..., Any], imported: datetime
) -> None:
    events = [
        {"event_name": "page_view", "user_id": "import-new"} | at for at in ({}, {"timestamp": imported.isoformat()})
    ]
    normalized = data(api.post("/v1/events/validate", json={"events": events}))["normalized"]
    assert [event["may_be_late"] for event in normalized] == [False, True]


def closed_sessions(api: httpx.Client, data: Callable[..., Any]) -> list[dict[str, Any]]:
    found = [api.get(f"/v1/events/{person}-order") for person in PEOPLE]
    details = [data(answer) for answer in found if answer.status_code == 200]
    return [detail["session"] for detail in details if detail["session"] and detail["session"]["is_closed"]]


def test_everybody_has_a_session_a_conversion_and_credit(
    api: httpx.Client, data: Callable[..., Any], imported: datetime
) -> None:
    for person in PEOPLE:
        detail = data(api.get(f"/v1/events/{person}-visit"))
        assert (detail["session"]["conversions"], detail["session"]["channel"]) == (1, "paid_search")
        assert detail["status"]["is_late"] is False
        (conversion,) = data(api.get(f"/v1/events/{person}-order"))["status"]["conversions"]
        path = data(api.get("/v1/attribution", params={"conversion_id": conversion["conversion_id"]}))
        assert [touch["channel"] for touch in path["touches"]] == ["paid_search"]
