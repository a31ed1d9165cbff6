"""The browser SDK in Chromium, against a small server that stands for site and gateway."""

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import chromium
from sdk_server import VERSION, SdkServer

SNIPPET = """<script>
(function() {
  var attrikit = window.AttriKit = window.AttriKit || {};
  attrikit.q = attrikit.q || [];
  attrikit.init = function() { attrikit.q.push(arguments); };
  var script = document.createElement('script');
  script.async = true;
  script.src = 'https://cdn.attrikit.com/sdk/latest/attrikit.min.js';
  document.head.appendChild(script);
})();
AttriKit.init({ appId: 'YOUR_APP_ID', autoTrack: true, debug: true });
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def running() -> Iterator[SdkServer]:
    server = SdkServer()
    yield server
    server.close()


@pytest.fixture
def server(running: SdkServer) -> SdkServer:
    running.reset()
    return running


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    opened = browser.new_context()
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: Any) -> Any:
    return context.new_page()


def test_the_documents_snippet_works_as_it_stands(server: SdkServer, page: Any) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    html = SNIPPET.replace("YOUR_APP_ID", "shop").replace("https://cdn.attrikit.com", server.url("gateway.test")[:-1])
    server.pages["/"] = f"<!doctype html><head><title>Home</title>{html}</head>"
    page.goto(server.url("shop.test", "/"))
    page.wait_for_function("AttriKit.version")
    assert page.evaluate("AttriKit.version") == VERSION
    page.evaluate("AttriKit('track', 'button_click', {button: 'buy'})")
    page.evaluate("AttriKit('flush')")
    view, click = server.wait(lambda: len(server.events) == 2 and server.events)
    assert view["event_name"] == "page_view"
    assert view["context"]["page"] == {"url": server.url("shop.test", "/"), "title": "Home", "referrer": ""}
    assert click["properties"]["button"] == "buy"
    assert said == [
        "[AttriKit] SDK initialized successfully",
        "[AttriKit] Page view tracked",
        "[AttriKit] Event tracked: button_click",
    ]
    assert [one.method for one in server.seen if one.method == "OPTIONS"] == [], "no preflight"
