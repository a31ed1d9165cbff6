"""A visitor becomes a customer: clicks an ad and orders without an account, then logs in. Told over HTTP alone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

VISITOR, CUSTOMER = "login-visitor", "login-customer"
AD = {"page": {"url": "https://shop.example/?gclid=abc"}}


def send(api: httpx.Client, name: str, at: datetime, context: dict[str, Any] | None = None, **ids: Any) -> str:
    event = {"event_name": name, "timestamp": at.isoformat(), "context": context or {}} | ids
    response = api.post("/v1/events/track", json=event)
    assert response.status_code == 201, response.text
    return str(response.json()["data"]["event_id"])


@pytest.fixture(scope="module")
def story(
    api: httpx.Client, eventually: Callable[..., Any], settled: Callable[[], None], data: Callable[..., Any]
) -> dict[str, Any]:
    """Events sent, and the answers about the visitor before the login."""
    start = datetime.now(UTC) - timedelta(minutes=50)
    order = {"order_id": "login-1", "revenue": 88.5, "currency": "CNY"}
    visit = send(api, "page_view", start, AD, anonymous_id=VISITOR)
    bought = send(api, "purchase", start + timedelta(minutes=5), anonymous_id=VISITOR, properties=order)

    def anonymous() -> Any:
        response = api.get(f"/v1/users/{VISITOR}")
        user = data(response)["user"] if response.status_code == 200 else {"conversions": 0}
        return user if user["conversions"] else None

    before = eventually(anonymous)
    login_at = start + timedelta(minutes=10)
    login = send(api, "login_story_login", login_at, user_id=CUSTOMER, anonymous_id=VISITOR)
    after = send(api, "login_story_return", login_at + timedelta(minutes=5), anonymous_id=VISITOR)
    settled()
    return {"before": before, "ids": [visit, bought, login, after]}


def user_of(api: httpx.Client, data: Callable[..., Any], given_id: str) -> dict[str, Any]:
    response = api.get(f"/v1/users/{given_id}")
    return dict(data(response)["user"]) if response.status_code == 200 else {}


def test_before_the_login_it_was_a_visitor(story: dict[str, Any]) -> None:
    assert (story["before"]["id"], story["before"]["user_id"]) == (VISITOR, None)


def test_afterwards_the_visit_is_the_customers_under_either_id(
    api: httpx.Client, data: Callable[..., Any], story: dict[str, Any]
) -> None:
    user = user_of(api, data, CUSTOMER)
    assert (user["user_id"], user["linked_ids"]) == (CUSTOMER, [VISITOR])
    assert (user["sessions"], user["events"], user["conversions"], user["first_channel"]) == (1, 4, 1, "paid_search")
    assert user_of(api, data, VISITOR) == user


@pytest.mark.parametrize("given_id", [CUSTOMER, VISITOR])
def test_all_events_are_the_customers(
    api: httpx.Client, data: Callable[..., Any], story: dict[str, Any], given_id: str
) -> None:
    items = data(api.get(f"/v1/users/{given_id}/events"))["items"]
    assert [item["event_id"] for item in items] == story["ids"][::-1]


def test_the_list_of_users_knows_one_person(api: httpx.Client, data: Callable[..., Any], story: dict[str, Any]) -> None:
    items = data(api.get("/v1/users", params={"limit": 1000}))["items"]
    found = [item for item in items if {item["id"], *item["linked_ids"]} & {VISITOR, CUSTOMER}]
    assert [(item["id"], item["linked_ids"]) for item in found] == [(CUSTOMER, [VISITOR])]


def test_an_event_of_the_visitor_lies_in_the_customers_session(
    api: httpx.Client, data: Callable[..., Any], story: dict[str, Any]
) -> None:
    session = data(api.get(f"/v1/events/{story['ids'][0]}"))["session"]
    assert session is not None
    items = data(api.get("/v1/events", params={"session_id": session["session_id"]}))["items"]
    assert [item["event_id"] for item in items] == story["ids"][::-1]


def test_the_order_is_credited_to_the_ad_again_with_the_reason(
    api: httpx.Client, data: Callable[..., Any], story: dict[str, Any]
) -> None:
    conversions = data(api.get("/v1/conversions", params={"user_id": CUSTOMER}))["items"]
    assert len(conversions) == 1
    parameters = {"conversion_id": conversions[0]["conversion_id"], "model": "last_click"}
    path = data(api.get("/v1/attribution", params=parameters))
    assert [(touch["channel"], touch["is_kept"]) for touch in path["touches"]] == [("paid_search", True)]
    assert [revision["reason"] for revision in path["revisions"]] == ["initial", "merge"]


def test_a_funnel_goes_on_across_the_login(api: httpx.Client, data: Callable[..., Any], story: dict[str, Any]) -> None:
    report = data(api.get("/v1/reports/conversion", params={"steps": "login_story_login,login_story_return"}))
    assert [step["users"] for step in report["funnel"]["steps"]] == [1, 1]
