"""Chromium, and a small server that stands for site and gateway. Each test has a context (a visitor) of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import chromium
from sdk_server import SdkServer


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # For a module, not for the session: its event loop would be in the way of asynchronous tests of other modules.
    with chromium() as running:
        yield running


@pytest.fixture
def server() -> Iterator[SdkServer]:
    """One for each test: a page of the test before may still send while it is closed."""
    found = SdkServer()
    yield found
    found.close()
    assert [one.path for one in found.seen if one.method == "OPTIONS"] == [], "no preflight, ever"


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    opened = browser.new_context()
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: Any) -> Any:
    return context.new_page()
