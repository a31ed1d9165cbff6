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
from pathlib import Path
from typing import Any

from chromium import chromium

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "screenshots"
PASSWORD = "Screenshots-2026"
APP = "/apps/demo"
PAGES = {
    "overview": f"{APP}/overview",
    "performance": f"{APP}/performance",
    "models": f"{APP}/models?base=linear",
    "paths": f"{APP}/paths",
    "funnel": f"{APP}/funnel",
    "conversions": f"{APP}/conversions?goal=purchase",
    "people": f"{APP}/people",
    "live": f"{APP}/live",
    "rejected": f"{APP}/rejected",
    "validate": f"{APP}/validate",
    "goals": f"{APP}/goals",
    "goal": f"{APP}/goals/purchase",
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
    "users": "/users",
    "profile": "/profile",
    "system": "/system",
}
OPENED = {
    "person": ("people", "tbody th a"),
    "event": ("live", "tbody th a"),
}
"""Pages that a link of another page leads to."""
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


def take(browser: Any, url: str, cookies: list[Any]) -> None:
    for look, options in LOOKS.items():
        folder = FOLDER / look
        folder.mkdir(parents=True, exist_ok=True)
        context = browser.new_context(**options)
        context.add_cookies(cookies)
        page = context.new_page()
        for name, path in PAGES.items():
            page.goto(url + path)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
        for name, (start, link) in OPENED.items():
            page.goto(url + PAGES[start])
            page.goto(url + page.locator(link).first.get_attribute("href"))
            page.screenshot(path=folder / f"{name}.png", full_page=True)
        page.goto(url + PAGES["conversions"])
        page.goto(url + page.evaluate(LONGEST_PATH))
        page.screenshot(path=folder / "conversion.png", full_page=True)
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
                take(browser, url, context.cookies())
    print(f"pictures of {len(PAGES) + len(OPENED) + 1} pages, each {', '.join(LOOKS)}: {FOLDER}")


if __name__ == "__main__":
    main(sys.argv[1:])
