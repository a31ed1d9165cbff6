"""`make screenshots`: pictures of every page of the console over the demo's data, into `build/screenshots`.

Runs `attrikit demo --keep`, follows the link that sets the password of `admin`, and visits the pages: wide, narrow (320
px), light, dark, in both languages. `ARGS="URL LOGIN PASSWORD"` takes pictures of a console that runs already.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chromium import chromium

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "screenshots"
PASSWORD = "Screenshots-2026"
APP = "/apps/demo"
EMPTY_APP = "empty"
_LEDGER_TRIES = 60
"""How often the overview is looked at, 5 s apart, until its ledger has the demo's events: it counts whole minutes."""
PAGES = {
    "overview": f"{APP}/overview",
    "performance": f"{APP}/performance",
    "performance-content": f"{APP}/performance?dimension=content",
    "models": f"{APP}/models?base=linear",
    "models-left-out": f"{APP}/models?show=value&leave_out=direct&leave_out=impression",
    "paths": f"{APP}/paths",
    "funnel": f"{APP}/funnel",
    "funnel-stopped": f"{APP}/funnel?stopped_after=1",
    "conversions": f"{APP}/conversions?goal=purchase",
    "people": f"{APP}/people",
    "people-unknown": f"{APP}/people?q=nobody",
    "live": f"{APP}/live",
    "rejected": f"{APP}/rejected",
    "validate": f"{APP}/validate",
    "goals": f"{APP}/goals",
    "goal": f"{APP}/goals/purchase",
    "goal-test": f"{APP}/goals/purchase/test",
    "goal-new": f"{APP}/goals/new",
    "channels": f"{APP}/channels?page=https%3A%2F%2Fshop.example%2F%3Futm_source%3Dbaidu%26utm_medium%3Dcpc",
    "costs": f"{APP}/costs",
    "alerts": f"{APP}/alerts",
    "webhooks": f"{APP}/webhooks",
    "exports": f"{APP}/exports",
    "api-keys": f"{APP}/api-keys",
    "settings": f"{APP}/settings",
    "changes": f"{APP}/changes",
    "help": f"{APP}/help",
    "apps": "/apps",
    "app-new": "/apps/new",
    "users": "/users",
    "profile": "/profile",
    "audit": "/audit",
    "system": "/system",
    "not-found": f"{APP}/nothing-here",
}
EMPTY = (
    *("overview", "performance", "models", "paths", "funnel", "conversions", "people", "live", "rejected", "costs"),
    *("alerts", "webhooks", "exports", "api-keys", "first-event", "help"),
)
"""Pages of an app without events."""
OPENED = {
    "person": ("people", "tbody th a"),
    "event": ("live", "tbody th a"),
    "endpoint": ("webhooks", "tbody th a"),
    "mend": ("rejected", "tbody a.button"),
}
"""Pages that a link of another page leads to; the last one's form is sent as well."""
LONGEST_PATH = """() => [...document.querySelectorAll('tbody tr')]
    .reduce((most, row) => +row.cells[4].innerText > +most.cells[4].innerText ? row : most)
    .querySelector('a').getAttribute('href')"""
"""Of the list of conversions, the one with the most touches."""
LOOKS = {
    "light": {"color_scheme": "light", "locale": "en", "viewport": {"width": 1280, "height": 800}},
    "dark": {"color_scheme": "dark", "locale": "zh-CN", "viewport": {"width": 1280, "height": 800}},
    "narrow": {"color_scheme": "light", "locale": "zh-CN", "viewport": {"width": 320, "height": 640}},
}


@contextmanager
def demo() -> Iterator[str]:
    """A running demo; the link that sets the password of its admin."""
    argv = [sys.executable, "-P", "-m", "deploy.cli", "demo", "--keep", "--events", "20000"]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.strip() == "ready":
                break
        try:
            yield re.findall(r"^console\s+(\S+)", said, re.MULTILINE)[-1]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
            shutil.rmtree(re.findall(r"^remove\s+rm -r (\S+)", said, re.MULTILINE)[-1], ignore_errors=True)


def enter(page: Any, link: str) -> str:
    """Set the password by the link; return the console's address."""
    page.goto(link)
    for field in page.locator("input[type=password]").all():
        field.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/apps/**")
    return link.partition("/setup/")[0]


def log_in(page: Any, url: str, login: str, password: str) -> str:
    page.goto(f"{url}/login")
    page.locator("#f-login").fill(login)
    page.locator("#f-password").fill(password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/apps/**")
    return url


def set_up(page: Any, url: str) -> None:
    """Fill the pages that a demo leaves empty: costs, an alert, an endpoint, a file; and make an app without events."""
    page.goto(f"{url}{APP}/costs")
    page.locator("#f-file").set_input_files({"name": "costs.csv", "mimeType": "text/csv", "buffer": costs().encode()})
    page.locator("button[value=import]").click()
    page.goto(f"{url}{APP}/alerts")
    page.locator("button[value=save]").click()
    page.goto(f"{url}{APP}/webhooks")
    page.locator("#f-url").fill("https://hooks.example.com/attrikit/conversions-of-the-shop")
    page.locator("form .primary").click()
    page.goto(f"{url}{APP}/exports")
    page.locator("form .primary").click()
    page.goto(f"{url}/apps/new")
    page.locator("#f-name").fill("An app whose name is much longer than the names that most apps have")
    page.locator("#f-app_id").fill(EMPTY_APP)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/apps/{EMPTY_APP}/**")
    page.goto(f"{url}{APP}/performance")
    page.locator("tfoot", has_text="CN").wait_for()
    for _ in range(_LEDGER_TRIES):
        page.goto(f"{url}{APP}/overview")
        if page.locator(".ledger .good").count():
            return
        page.wait_for_timeout(5_000)
    raise SystemExit("the events of the demo are not accounted for after 5 minutes")


def costs() -> str:
    """Costs of the last weeks, one of a campaign with a long name and a big sum, with a day missing."""
    today = datetime.now(UTC).date()
    lines = ["date,channel,campaign,source,cost,currency"]
    for ago in (1, 2, 3, *range(5, 28)):
        day = today - timedelta(days=ago)
        lines.append(f"{day},paid_search,brand,baidu,{310 + ago * 17 % 90}.50,CNY")
        lines.append(f"{day},feed,autumn_2026_new_customers_lookalike_video_15s_shanghai,douyin,{123_456 + ago},CNY")
    return "\n".join(lines)


class Camera:
    """Takes pictures of pages in one of the looks."""

    def __init__(self, page: Any, url: str, folder: Path) -> None:
        self._page = page
        self._url = url
        self._folder = folder

    def of(self, name: str, path: str) -> None:
        self._page.goto(self._url + path)
        self.take(name)

    def take(self, name: str) -> None:
        """Take the whole page, in a window as high as it is: then what sticks to the window's edges reaches its end."""
        window = self._page.viewport_size
        height = self._page.evaluate("document.documentElement.scrollHeight")
        self._page.set_viewport_size({"width": window["width"], "height": height})
        self._page.screenshot(path=self._folder / f"{name}.png")
        self._page.set_viewport_size(window)

    def behind(self, name: str, link: str) -> None:
        """The page that the first link of this page leads to."""
        self.of(name, self._page.locator(link).first.get_attribute("href"))

    def answer(self, name: str, button: str) -> None:
        """What the page shows when its form is sent."""
        self._page.locator(button).first.click()
        self._page.locator("main [role=status]").first.wait_for()
        self.take(name)

    def all_pages(self) -> None:
        for name, path in PAGES.items():
            self.of(name, path)
        for name in EMPTY:
            self.of(f"empty-{name}", f"/apps/{EMPTY_APP}/{name}")
        for name, (start, link) in OPENED.items():
            self._page.goto(self._url + PAGES[start])
            self.behind(name, link)
        self.answer("mend-answer", "button[value=check]")
        self._page.goto(self._url + PAGES["goal-test"])
        self.answer("goal-test-checked", "main button[value=check]")
        self._page.locator("main button[value=send]").click()
        self._page.locator("main [data-arrived]").wait_for()
        self.take("goal-test-sent")
        self._page.goto(self._url + PAGES["validate"])
        self.answer("validate-answer", "main .primary")
        self._page.goto(self._url + PAGES["conversions"])
        self.of("conversion", self._page.evaluate(LONGEST_PATH))


def take(browser: Any, url: str, cookies: list[Any]) -> None:
    for look, options in LOOKS.items():
        folder = FOLDER / look
        folder.mkdir(parents=True, exist_ok=True)
        outside = browser.new_context(**options)
        Camera(outside.new_page(), url, folder).of("login", "/login")
        outside.close()
        context = browser.new_context(**options)
        context.add_cookies(cookies)
        Camera(context.new_page(), url, folder).all_pages()
        context.close()


def main(given: list[str]) -> None:
    with chromium() as browser:
        context = browser.new_context(locale="en")
        page = context.new_page()
        if given:
            url = log_in(page, *given)
            take(browser, url, context.cookies())
        else:
            with demo() as link:
                url = enter(page, link)
                set_up(page, url)
                take(browser, url, context.cookies())
    print(f"pictures of every page, each {', '.join(LOOKS)}: {FOLDER}")


if __name__ == "__main__":
    main(sys.argv[1:])
