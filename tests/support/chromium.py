"""The Chromium that is installed, driven by Playwright, which downloads none."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
"""A person's browser: the gateway would know a headless one by its name. As an argument it holds for requests of pages
that are being left, too."""
ARGUMENTS = (
    f"--user-agent={AGENT}",
    "--no-sandbox",
    "--host-resolver-rules=MAP * 127.0.0.1",
    "--disable-blink-features=AutomationControlled",
)


def chromium_is_missing() -> str:
    """Return why no browser can be driven; empty: one can."""
    if not find_spec("playwright"):
        return "no playwright"
    return "" if any(map(shutil.which, NAMES)) else "no chromium on the PATH (tests/install_tools.sh)"


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser in which every host ends up at this machine, with its back/forward cache. Skips where there is
    none.

    Playwright's loop runs in the thread that opens it: no other loop can run there until it is closed again.
    """
    if missing := chromium_is_missing():
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, NAMES))),
            ignore_default_args=["--disable-back-forward-cache"],
            args=list(ARGUMENTS),
        )
        yield browser
        browser.close()


def kill_renderers(browser: Any) -> None:
    """Kill the processes of all its pages at once, as the system does that is short of memory."""
    for process in browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] == "renderer":
            with suppress(ProcessLookupError):
                os.kill(process["id"], signal.SIGKILL)
