"""The console in Chromium with the running product: from the set-up link to the explanation of a conversion."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from chromium import chromium

from deploy.demo.product import Product

PASSWORD = "Console-Test-2026"
APP = "console-shop"
SCRIPT = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
MAX_PAGE_BYTES = 150 * 1024
MAX_ASSET_BYTES = 60 * 1024
NARROW = {"width": 320, "height": 700}
WIDE = {"width": 1280, "height": 900}
APP_PAGES = (
    *("overview", "performance", "performance?dimension=campaign", "models?base=linear", "paths", "funnel"),
    *("conversions", "people", "live", "rejected", "validate", "api-keys", "settings", "changes", "help"),
    *("first-event", "goals", "goals/new", "goals/purchase", "goals/purchase/test", "channels", "costs", "alerts"),
    *("webhooks", "exports"),
)
SQUEEZED = "[...document.querySelectorAll('th.wrap, td.wrap')].filter(e => e.clientWidth < 100).map(e => e.outerHTML)"
PAGES = (
    *(f"/apps/{APP}/{path}" for path in APP_PAGES),
    "/apps",
    "/apps/new",
    "/users",
    "/profile",
    "/audit",
    "/system",
)
OPENED = ("conversions > tbody th a", "people > tbody th a", "live > tbody th a", "rejected > tbody a.button")
"""Pages that the first such link of another page leads to: a conversion, a person, an event, refused events to mend."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Any, product: Product, eventually: Callable[..., Any]) -> Iterator[Any]:
    """A page of an admin, who came by the set-up link, made an app and a key, and sent events with it."""
    context = browser.new_context(locale="en", viewport=WIDE)
    opened = context.new_page()
    opened.faults = []
    opened.on("console", lambda message: message.type == "error" and opened.faults.append(message.text))
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.goto(product.admin_link)
    opened.get_by_label("New password").fill(PASSWORD)
    opened.get_by_label("The same again").fill(PASSWORD)
    opened.keyboard.press("Enter")
    opened.wait_for_url("**/apps/**")
    yield opened
    context.close()


@pytest.fixture(scope="module")
def key(page: Any, product: Product) -> str:
    """The key of a new app, as the page shows it once."""
    page.goto(product.console_url + "/apps/new")
    page.get_by_label("Name").focus()
    page.keyboard.type("Console shop")
    page.keyboard.press("Tab")
    page.keyboard.type(APP)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/apps/{APP}/api-keys")
    page.get_by_role("button", name="Create a key").focus()
    page.keyboard.press("Enter")
    shown: str = page.locator("[data-secret]").inner_text()
    assert shown in page.locator("pre").first.inner_text(), "the request has the real key"
    page.reload()  # as a form sent again would: the browser is asked, here it goes back to a page without the key
    return shown


@pytest.fixture(scope="module")
def shop(page: Any, key: str, product: Product, eventually: Callable[..., Any]) -> httpx.Client:
    """The app with a few journeys; one of its senders writes markup into every text."""
    client = httpx.Client(base_url=product.base_url, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    page.goto(f"{product.console_url}/apps/{APP}/first-event")
    page.get_by_text("Waiting for the first event").wait_for()
    now = datetime.now(UTC) - timedelta(minutes=5)
    bad = {"event_name": "Not A Name", "anonymous_id": "a"}
    eventually(lambda: client.post("/v1/events/track", json=bad).status_code == 400)  # once the gateway knows the key
    page.get_by_text("INVALID_EVENT_NAME").wait_for()
    eventually(lambda: client.post("/v1/events/batch", json={"events": list(_journeys(now))}).status_code == 201)
    page.get_by_text("The first event is here").wait_for()
    return client


def _journeys(now: datetime) -> Iterator[dict[str, Any]]:
    for number, (source, medium) in enumerate([("google", "cpc"), ("newsletter", "email"), ("bing", "cpc"), ("", "")]):
        person = {"anonymous_id": f"visitor-{number}", "user_id": f"customer-{number}"}
        campaign = {"source": source, "medium": medium, "name": f"spring-{number}", "content": "summer sale"}
        at = now + timedelta(seconds=number)
        view = {"event_name": "page_view", "properties": {"page_url": "https://shop.example/"}}
        yield {**view, **person, "timestamp": at.isoformat(), "context": {"campaign": campaign if source else {}}}
        bought = {"event_name": "purchase", "properties": {"order_id": f"o-{number}", "revenue": 19.99 + number}}
        yield {**bought, **person, "timestamp": (at + timedelta(seconds=30)).isoformat()}
    hostile = {"anonymous_id": SCRIPT, "user_id": SCRIPT, "timestamp": now.isoformat()}
    where = {"url": f"https://shop.example/{SCRIPT}", "title": SCRIPT, "referrer": f"https://evil.example/{SCRIPT}"}
    campaign = {"source": SCRIPT, "medium": SCRIPT, "name": SCRIPT, "term": SCRIPT, "content": SCRIPT}
    context = {"page": where, "campaign": campaign, "user_agent": SCRIPT, "locale": "en"}
    yield {
        "event_name": "page_view",
        "properties": {"page_title": SCRIPT, SCRIPT[:50]: SCRIPT},
        "context": context,
        **hostile,
    }
    order = {"order_id": SCRIPT, "revenue": 5, "currency": "CNY"}
    yield {"event_name": "purchase", "properties": order, "context": context, **hostile}


def test_the_port_of_the_api_leads_a_browser_to_the_console(product: Product) -> None:
    found = httpx.get(product.base_url + "/", headers={"Accept": "text/html"}, trust_env=False)
    assert (found.status_code, found.headers["location"]) == (303, product.console_url)
    assert httpx.get(product.base_url + "/", trust_env=False).status_code == 404


def test_numbers_on_pages_equal_those_of_the_api(page: Any, shop: httpx.Client, product: Product, settled: Any) -> None:
    settled()
    day = datetime.now(UTC).date()
    asked = {"from": str(day - timedelta(days=7)), "to": str(day + timedelta(days=1)), "model": "all"}
    console = f"{product.console_url}/apps/{APP}"
    for dimension in ("channel", "campaign"):
        report = shop.get("/v1/reports/performance", params=asked | {"dimension": dimension}).json(parse_float=Decimal)[
            "data"
        ]
        where = f"from={asked['from']}&to={asked['to']}&dimension={dimension}"
        for model, totals in report["totals"]["models"].items():
            page.goto(f"{console}/performance?{where}&model={model}")
            rows = _table(page)
            expected = {_number(row["models"][model]["credited_value"]) for row in report["items"]}
            assert {row[4] for row in rows[:-1]} == expected
            assert rows[-1][3:5] == [_number(totals["credited_conversions"]), _number(totals["credited_value"])]
        page.goto(f"{console}/models?{where}&show=value")
        rows = _table(page)
        assert rows[-1][1:] == [_number(totals["credited_value"]) for totals in report["totals"]["models"].values()]
        assert page.get_by_text("adds up to the same total").is_visible()


def test_a_view_is_exported_with_its_numbers(page: Any, shop: httpx.Client, product: Product, settled: Any) -> None:
    """From channel to content, then the file of what is on the screen: its sums are the totals."""
    settled()
    page.goto(f"{product.console_url}/apps/{APP}/performance?model=linear")
    for link in ("Paid search", "google", "cpc", "spring-0"):
        page.locator("tbody th").get_by_role("link", name=link, exact=True).click()
    page.wait_for_url("**dimension=content**campaign=spring-0**")
    assert page.locator("tbody th").all_inner_texts() == ["summer sale"]
    rows, total = _table(page)[:-1], _table(page)[-1]
    behind = page.locator("tbody td a").first.get_attribute("href")
    page.get_by_role("button", name="Export this view").click()
    page.locator("a[href$='/file']").first.wait_for(timeout=60_000)
    address = page.locator("a[href$='/file']").first.get_attribute("href")
    text = page.context.request.get(product.console_url + address).body().decode("utf-8-sig")
    exported = list(csv.DictReader(io.StringIO(text)))
    assert [one["key"] for one in exported] == ["summer sale"]
    assert [Decimal(one["credited_value_linear"]) for one in exported] == [row[4] for row in rows]
    assert sum(Decimal(one["credited_value_linear"]) for one in exported) == total[4]
    assert sum(Decimal(one["credited_conversions_linear"]) for one in exported) == total[3]
    page.goto(product.console_url + behind)
    assert page.locator("tbody tr").count() == 1, "the conversion behind the number"
    page.locator("tbody th a").first.click()
    page.get_by_text("summer sale").or_(page.get_by_text("spring-0")).first.wait_for()


def _table(page: Any) -> list[list[Decimal | None]]:
    """The numbers of the page's first table, row by row, the footer last."""
    rows = page.locator("table").first.locator("tbody tr, tfoot tr").all()
    return [[_read(cell.inner_text()) for cell in row.locator("td").all()] for row in rows]


def _read(text: str) -> Decimal | None:
    found = re.search(r"-?[\d,]+(\.\d+)?", text)
    return Decimal(found[0].replace(",", "")) if found else None


def _number(value: Any) -> Decimal:
    return Decimal(value)


def test_from_a_number_to_the_touch_in_three_clicks(
    page: Any, shop: httpx.Client, product: Product, settled: Any
) -> None:
    settled()
    page.goto(f"{product.console_url}/apps/{APP}/models")
    row = page.locator("tbody tr", has_text="Paid search")
    row.locator("td a").first.click()
    page.wait_for_url("**/conversions?*channel=paid_search*")
    assert page.locator("tbody tr").count() == 2
    page.locator("tbody th a").first.click()
    page.get_by_text("Every touch before it, and what each model gave it").wait_for()
    assert page.locator("tbody tr", has_text="Paid search").first.is_visible()
    assert "100.0%" in page.locator("tfoot").first.inner_text()
    page.locator("dl a").first.click()
    page.get_by_text("Timeline").wait_for()


@pytest.mark.parametrize("path", [*PAGES, *(f"/apps/{APP}/{path}" for path in OPENED)])
def test_a_page_is_accessible_light_narrow_and_reports_nothing(
    page: Any, shop: httpx.Client, product: Product, settled: Any, path: str
) -> None:
    settled()
    page.faults.clear()
    start, _, link = path.partition(" > ")
    if link:
        page.goto(product.console_url + start)
        start = page.locator(link).first.get_attribute("href")
    _check_in_both_themes(page, product.console_url + start)
    page.set_viewport_size(NARROW)
    width = page.evaluate("document.documentElement.scrollWidth")
    squeezed = page.evaluate(SQUEEZED)
    page.set_viewport_size(WIDE)
    assert width <= NARROW["width"]
    assert squeezed == [], "columns so narrow that words stand letter below letter"
    assert page.faults == [], "a content security policy violated, or an error of a script"


def test_the_login_and_a_validation_are_accessible(
    browser: Any, page: Any, shop: httpx.Client, product: Product
) -> None:
    context = browser.new_context(locale="en", viewport=WIDE)
    _check_in_both_themes(context.new_page(), product.console_url + "/login")
    context.close()
    page.goto(f"{product.console_url}/apps/{APP}/validate")
    page.get_by_label("Events").fill(
        '[{"event_name": "purchase", "anonymous_id": "a"}, {"event_name": "Not A Name", "user_id": "u"}]'
    )
    page.get_by_role("button", name="Validate").click()
    page.get_by_text("1 of 2 events would be refused").wait_for()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert _violations(page) == [], theme


def _check_in_both_themes(page: Any, address: str) -> None:
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        answer = page.goto(address)
        assert answer.status == 200
        assert len(answer.body()) <= MAX_PAGE_BYTES
        assert _violations(page) == [], theme


def _violations(page: Any) -> list[tuple[str, str]]:
    """What axe finds. It is put in through the debugger: the page's own policy would refuse it."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": Path(AXE_FILE_PATH).read_text()})
    session.detach()
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in result["violations"]]


def test_style_and_scripts_are_light(page: Any, shop: httpx.Client, product: Product) -> None:
    page.goto(f"{product.console_url}/apps/{APP}/overview")
    addresses = page.evaluate(
        "[...document.querySelectorAll('link[rel=stylesheet], script')].map(e => e.href || e.src)"
    )
    found = [httpx.get(address, trust_env=False) for address in addresses]
    assert len(found) == 2
    assert all("immutable" in one.headers["cache-control"] for one in found)
    assert sum(len(gzip.compress(one.content)) for one in found) < MAX_ASSET_BYTES


def test_what_senders_write_is_shown_and_does_nothing(
    page: Any, shop: httpx.Client, product: Product, settled: Any
) -> None:
    settled()
    page.faults.clear()
    page.goto(f"{product.console_url}/apps/{APP}/people")
    page.get_by_role("link", name=SCRIPT[:30]).first.click()
    page.get_by_text("Timeline").wait_for()
    assert SCRIPT in page.locator("main").inner_text()
    for path in (
        "live",
        "conversions",
        "rejected",
        "performance?dimension=source",
        "models?dimension=campaign",
        "overview",
    ):
        page.goto(f"{product.console_url}/apps/{APP}/{path}")
        assert page.evaluate("window.hurt") is None, path
    assert page.faults == []


def test_an_event_is_on_the_screen_by_itself(page: Any, shop: httpx.Client, product: Product, settled: Any) -> None:
    settled()
    page.faults.clear()
    page.goto(f"{product.console_url}/apps/{APP}/live?anonymous_id=live-visitor")
    page.get_by_text("No such event yet").wait_for()
    page.locator("[data-state]", has_text="live").wait_for()
    event = {"event_name": "page_view", "anonymous_id": "live-visitor", "timestamp": "2026-01-15T10:30:00Z"}
    arrived = event | {"context": {"page": {"url": f"https://shop.example/?utm_medium=email&utm_content={SCRIPT}"}}}
    assert shop.post("/v1/events/track", json=arrived).status_code == 201
    row = page.locator("[data-rows] tr", has_text="live-visitor")
    row.wait_for()
    assert "tags:medium" in row.inner_text()
    assert SCRIPT in row.inner_text()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused").wait_for()
    assert shop.post("/v1/events/track", json=event).status_code == 201
    page.get_by_role("button", name="Go on").click()
    page.locator("[data-rows] tr").nth(1).wait_for()
    row.first.get_by_role("link", name="page_view").click()
    page.get_by_role("heading", name="By itself").wait_for()
    assert page.evaluate("window.hurt") is None
    assert page.faults == []


def test_pages_speak_chinese(browser: Any, page: Any, shop: httpx.Client, product: Product) -> None:
    page.goto(f"{product.console_url}/apps/{APP}/overview")
    page.get_by_label("Language and theme").click()
    page.get_by_role("button", name="中文").click()
    page.get_by_role("heading", name="概览").wait_for()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_label("语言与主题").click()
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Overview").wait_for()
    page.get_by_label("Language and theme").click()
    page.keyboard.press("Shift+Tab")
    assert page.locator("details.menu[open]").count() == 0, "a menu that the focus has left covers nothing"


def test_pages_work_without_scripts(browser: Any, page: Any, shop: httpx.Client, product: Product) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en")
    context.add_cookies(page.context.cookies())
    plain = context.new_page()
    plain.goto(f"{product.console_url}/apps/{APP}/performance")
    plain.get_by_label("Goal").select_option("purchase")
    plain.get_by_role("button", name="Apply").click()
    plain.wait_for_url("**goal=purchase**")
    plain.locator("tfoot a").first.click()
    assert "conversions" in plain.url
    context.close()


def test_a_test_event_is_sent_and_followed_without_scripts(
    browser: Any, page: Any, shop: httpx.Client, product: Product
) -> None:
    context = browser.new_context(java_script_enabled=False, locale="en")
    context.add_cookies(page.context.cookies())
    plain = context.new_page()
    plain.goto(f"{product.console_url}/apps/{APP}/goals/purchase")
    plain.get_by_role("button", name="Only check it").click()
    plain.get_by_text("It meets the goal").wait_for()
    plain.get_by_role("button", name="Send the test event").click()
    plain.get_by_text("What each model gave its touches").wait_for()  # the page asks for itself again until then
    address = plain.url
    context.close()
    _check_in_both_themes(page, address)
    page.set_viewport_size(NARROW)
    width, squeezed = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(SQUEEZED)
    page.set_viewport_size(WIDE)
    assert (width <= NARROW["width"], squeezed) == (True, [])


def test_a_page_asks_less_and_less_often_for_a_test_event_that_does_not_come(
    page: Any, shop: httpx.Client, product: Product
) -> None:
    page.goto(f"{product.console_url}/apps/{APP}/goals/purchase/test/attrikit-test-lost")
    part = page.locator("[data-growth]")
    first_ms = float(part.get_attribute("data-every"))
    for _ in range(2):
        with page.expect_response("**part=state"):
            pass
    assert first_ms < float(part.get_attribute("data-every")) < 30_000
    page.goto("about:blank")
