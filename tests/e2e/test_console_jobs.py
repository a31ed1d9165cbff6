"""The ten main jobs of the console, with a mouse and with the keyboard alone, in English and in Chinese.

Each device and language has an admin, a browser and an app of its own. Two of the four pairs cover both devices and
both languages; `ATTRIKIT_TEST_CONSOLE=all` (part of `make chaos`) runs all four.
"""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from chromium import chromium
from console_person import DEVICES, LOCALES, Mouse, Person

from deploy.demo.product import Product
from deploy.local.first_admin import new_link
from pipeline.control.users import Role, User, Users
from pipeline.runtime.clock import now_ms

PASSWORD = "Console-Jobs-2026"
PAIRS = [("mouse", "en"), ("keyboard", "zh")]
if os.environ.get("ATTRIKIT_TEST_CONSOLE") == "all":
    PAIRS += [("mouse", "zh"), ("keyboard", "en")]
WIDE = {"width": 1280, "height": 900}


@dataclass(frozen=True)
class Shop:
    """A person's app with its first events: two purchases of 100 and 50, by three touches."""

    person: Person
    api: httpx.Client


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def person(request: pytest.FixtureRequest, browser: Any) -> Iterator[Person]:
    device, language = request.param
    context = browser.new_context(locale=LOCALES[language], viewport=WIDE)
    yield DEVICES[device](context.new_page(), language)
    context.close()


@pytest.fixture(scope="module")
def shop(person: Person, product: Product, eventually: Callable[..., Any], settled: Callable[[], None]) -> Shop:
    """The first job: from the link that a new admin was given to the first event of a new app."""
    name = f"jobs-{type(person).__name__.lower()}-{person.language}"
    person.page.goto(_link_of(name, product))
    person.type_into("New password", PASSWORD)
    person.type_into("The same again", PASSWORD)
    person.push("Set the password and go in")
    person.press(person.field("Account"))
    person.follow("Apps")
    person.follow("New app")
    person.type_into("Name", name.title())
    person.type_into("App id", name)
    person.push("Create the app")
    person.push("Create a key")
    person.sees("It is shown only this once. Copy it now and keep it as a secret.")
    key = person.page.locator("[data-secret]").inner_text()
    person.follow("I sent it: wait for the event")
    person.sees("Waiting for the first event …")
    client = httpx.Client(base_url=product.base_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    person.rest_on(person.page.locator("main").get_by_role("link"))  # which is gone when the page turns
    eventually(lambda: client.post("/v1/events/batch", json={"events": list(_events())}).status_code == 201)
    person.sees("The first event is here")
    focus_is_kept = person.page.evaluate("document.activeElement.matches('main, main *')")
    assert focus_is_kept or isinstance(person, Mouse)
    person.follow("To the overview")
    person.opens("Overview")
    settled()
    return Shop(person, client)


def _link_of(login: str, product: Product) -> str:
    """Add an admin, and return the link that sets the password."""
    users = Users(product.settings.control_plane_dsn())
    try:
        users.add(User(f"usr_{login}", login, Role.ADMIN), now_ms())
        return new_link(users, login, product.console_url, now_ms())
    finally:
        users.close()


def _events() -> Iterator[dict[str, Any]]:
    """One person comes by an ad, later by a newsletter, and buys for 100; another comes by an ad and buys for 50."""
    now = datetime.now(UTC)
    for user, ago, source, medium in (
        ("regular", timedelta(hours=3), "google", "cpc"),
        ("regular", timedelta(minutes=6), "newsletter", "email"),
        ("newcomer", timedelta(minutes=6), "google", "cpc"),
    ):
        campaign = {"source": source, "medium": medium, "name": "spring"}
        view = {"event_name": "page_view", "properties": {"page_url": "https://shop.example/"}}
        yield {**view, "user_id": user, "timestamp": (now - ago).isoformat(), "context": {"campaign": campaign}}
    for user, revenue in (("regular", 100), ("newcomer", 50)):
        order = {"order_id": f"o-{user}", "revenue": revenue}
        at = (now - timedelta(minutes=5)).isoformat()
        yield {"event_name": "purchase", "properties": order, "user_id": user, "timestamp": at}


def _numbers(row: Any) -> list[str]:
    """The number of each cell of a table's row; empty where a cell holds none."""
    cells = [re.search(r"-?[\d,]+(\.\d+)?", text) for text in row.locator("td").all_inner_texts()]
    return [found[0] if found else "" for found in cells]


def test_first_login_to_first_event(shop: Shop) -> None:
    person = shop.person
    assert person.page.locator("html").get_attribute("lang") == {"en": "en", "zh": "zh-CN"}[person.language]
    person.follow("Live events")
    person.opens("Live events")
    assert person.page.locator("tbody tr", has_text="page_view").count() == 3


def test_a_key_that_may_read_alone(shop: Shop, product: Product, eventually: Callable[..., Any]) -> None:
    person = shop.person
    person.follow("API management")
    person.tick(person.field("report events"))
    person.push("Create a key")
    person.sees("Your new key")
    key = person.page.locator("[data-secret]").inner_text()
    with httpx.Client(base_url=product.base_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as reader:
        eventually(lambda: reader.get("/v1/conversions").status_code == 200)
        event = {"event_name": "page_view", "user_id": "regular"}
        eventually(lambda: reader.post("/v1/events/track", json=event).status_code == 403)
    person.page.reload()


def test_models_are_compared(shop: Shop) -> None:
    person = shop.person
    person.follow("Models side by side")
    person.choose("Show", "Value")
    person.choose("Difference to", "Last click")
    person.tick(person.field("Without direct visits"))
    person.push("Apply")
    person.page.wait_for_url("**show=value&base=last_click&leave_out=direct**")
    person.sees("Every column adds up to the same total: models divide credit, they make none.")
    models = person.page.locator("thead th").all_inner_texts()[2:]
    first, linear = models.index(person.text("First click")), models.index(person.text("Linear"))
    paid = _numbers(person.page.locator("tbody tr", has_text=person.text("Paid search")))[1:]
    assert (paid[first], paid[linear]) == ("150.00", "100.00")
    assert len(set(_numbers(person.page.locator("tfoot tr"))[1:])) == 1
    person.go(person.page.locator("tbody tr", has_text=person.text("Paid search")).locator("td a").nth(linear))
    person.page.wait_for_url("**/conversions?*channel=paid_search*")
    assert person.page.locator("tbody tr").count() == 2, "each cell opens its conversions"


def test_a_conversion_is_explained(shop: Shop) -> None:
    person = shop.person
    person.follow("Conversions")
    person.opens("Conversions")
    person.go(person.page.locator("tbody tr", has_text="100.00").locator("th a"))
    person.sees("Every touch before it, and what each model gave it")
    models = person.page.locator("thead th").all_inner_texts()[2:]
    touches = [_numbers(row)[1:] for row in person.page.locator("tbody").first.locator("tr").all()]
    linear, last = models.index(person.text("Linear")), models.index(person.text("Last click"))
    assert [row[linear] for row in touches] == ["50.0", "50.0"]
    assert [row[last] for row in touches] == ["0.0", "100.0"]
    person.press(person.page.get_by_text(person.text("The same from the API"), exact=True))
    person.page.locator("footer pre").wait_for()
    person.go(person.page.locator("dl a").first)
    person.sees("Timeline")


def test_costs_become_a_return_on_ad_spend(shop: Shop, settled: Callable[[], None]) -> None:
    person = shop.person
    day = (datetime.now(UTC) - timedelta(days=1)).date()
    costs = f"date,channel,campaign,source,cost,currency\n{day},paid_search,spring,google,%s,CNY\n"
    person.follow("Costs")
    person.upload("CSV file", "costs.csv", costs % "forty")
    person.push("Only check it")
    person.sees("%(count)s rows are wrong; nothing was imported", count=1)
    person.upload("CSV file", "costs.csv", costs % "40")
    person.push("Import")
    person.sees("%(rows)s rows were taken. They are in the reports within seconds.", rows=1)
    settled()
    person.follow("Performance")
    person.choose("Model", "First click")
    person.push("Apply")
    person.page.wait_for_url("**model=first_click**")
    person.follow("Return on ad spend")
    person.page.locator("th[aria-sort=descending]", has_text=person.text("Return on ad spend")).wait_for()
    paid = _numbers(person.page.locator("tbody tr").first)
    assert paid[4:8] == ["150.00", "40.00", "20.00", "3.75"], "value, spend, cost per conversion, return"
    person.sees("What these numbers mean")


def test_a_funnel_is_built(shop: Shop) -> None:
    person = shop.person
    person.follow("Funnel")
    for number, step in enumerate(("page_view", "purchase", ""), 1):
        person.type_into("Step %(number)s", step, number=number)
    person.push("Apply")
    person.page.wait_for_url("**step=page_view&step=purchase**")
    person.sees("Of the step before")
    table = person.page.locator("tbody").first
    assert table.locator("th").all_inner_texts() == ["page_view", "purchase"]
    assert [_numbers(row)[0] for row in table.locator("tr").all()] == ["2", "2"]


def test_a_refused_event_is_mended_and_counts(shop: Shop, settled: Callable[[], None]) -> None:
    person = shop.person
    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    order = {"order_id": "mended", "revenue": 77}
    event = {"event_name": "Purchase Done", "user_id": "mended", "timestamp": at, "properties": order}
    assert shop.api.post("/v1/events/track", json=event).status_code == 400
    settled()
    person.follow("Refused events")
    person.go(person.page.locator("tbody tr", has_text="Purchase Done").first.locator("a[href*='/mend']").first)
    person.opens("Mend refused events")
    person.type_into("New event name", "purchase")
    person.push("Dry run: how many would be accepted?")
    person.sees("%(accepted)s of %(found)s events would be accepted.", accepted=1, found=1)
    person.push("Send them again")
    person.sees("%(accepted)s of %(found)s events were accepted.", accepted=1, found=1)
    settled()
    person.follow("Conversions")
    person.page.locator("tbody tr", has_text="77.00").wait_for()
    (counted,) = shop.api.get("/v1/conversions", params={"user_id": "mended"}).json()["data"]["items"]
    assert (counted["goal"], counted["order_id"]) == ("purchase", "mended")


def test_a_webhook_is_added_and_tested(shop: Shop, product: Product) -> None:
    person = shop.person
    person.follow("Webhooks")
    person.type_into("Address", f"{product.base_url}/v1/events/validate")
    person.push("Add the endpoint")
    person.sees("The secret")
    person.push("Send a test")
    person.sees("Answer to the test")
    person.page.get_by_text("HTTP 401").wait_for()


def test_a_goal_is_added_and_tested(shop: Shop) -> None:
    person = shop.person
    person.follow("Goals")
    person.follow("New goal")
    person.type_into("Name", "visit_of_the_shop")
    person.type_into("Event", "page_view")
    person.choose("Counts", "once per person")
    person.push("What would it have matched?")
    person.sees("It would have matched %(matched)s of %(looked)s events.", matched=3, looked=3)
    person.push("Save")
    person.sees("Saved.")
    person.go(person.page.get_by_role("link", name="visit_of_the_shop"))
    person.push("Only check it")
    person.sees("It meets the goal")
    person.push("Send the test event")
    person.sees("received by the gateway")
    person.sees("What each model gave its touches")
    person.follow("The conversion, touch by touch")
    person.sees("Every touch before it, and what each model gave it")
    of_goal = {"goal": "visit_of_the_shop"}
    assert shop.api.get("/v1/conversions", params=of_goal).json()["data"]["items"] == []
    tests = shop.api.get("/v1/conversions", params=of_goal | {"include_bots": "true"}).json()["data"]["items"]
    assert [one["anonymous_id"].startswith("attrikit-test-") for one in tests] == [True]


def test_a_view_is_exported(shop: Shop) -> None:
    person = shop.person
    person.follow("Performance")
    person.push("Export this view")
    person.opens("Exports")
    person.thing("link", "Fetch").wait_for(timeout=60_000)
    rows = list(csv.DictReader(io.StringIO(person.download("Fetch"))))
    values = {row["key"]: Decimal(row["credited_value_position_based"]) for row in rows}
    assert [values[channel] for channel in ("paid_search", "email")] == [100, 50]
