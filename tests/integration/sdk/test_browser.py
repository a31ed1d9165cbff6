"""Delivery of the browser SDK in Chromium: the documentation's snippet, queue, retries, tabs and storage."""

import json
import time
from typing import Any

import pytest
from playwright.sync_api import Error
from sdk_pages import names, opened
from sdk_server import VERSION, Fault, SdkServer

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


# Delivery


def test_a_beacon_has_64_kib_and_says_true_offline(server: SdkServer, page: Any, context: Any) -> None:
    """Facts of browsers that the delivery stands on."""
    opened(server, page)
    send = "n => navigator.sendBeacon('/v1/events/batch?app_id=shop', '{\"events\":[]}' + ' '.repeat(n - 13))"
    assert page.evaluate(send, 65_537) is False
    assert page.evaluate(send, 65_536) is True
    # What is in flight counts against the same 64 KiB: a page of its own has none.
    page.reload()
    context.set_offline(True)
    page.wait_for_function("navigator.sendBeacon('/v1/events/batch?app_id=shop', '{\"events\":[]}')", timeout=30_000)


def test_two_flushes_of_40_kb_both_arrive(server: SdkServer, page: Any) -> None:
    opened(server, page, "batchSize:100")
    flush = """async n => {
        for (let i = 0; i < 40; i++) AttriKit.track('big', {text: 'x'.repeat(800), n});
        await AttriKit.flush() }"""
    page.evaluate(flush, 1)
    page.evaluate(flush, 2)
    assert len(server.named("big")) == 80
    assert page.evaluate("errors") == []


def test_what_is_too_much_when_leaving_comes_from_the_next_page(server: SdkServer, page: Any) -> None:
    opened(server, page, "batchSize:1000,batchTimeout:60000")  # what is sent next, is sent because the page is left
    page.evaluate("AttriKit.flush()")
    server.wait(lambda: server.events)
    server.pages["/next"] = "<title>next</title>"
    server.answers.clear()  # what is answered no longer counts: both reports are to be on their way at once
    page.evaluate(
        "() => { for (let i = 0; i < 70; i++) AttriKit.track('big', {text: 'x'.repeat(1000)}); location = '/next' }"
    )
    page.wait_for_url("**/next")
    server.wait(lambda: len(server.named("big")) > 30)
    server.wait(lambda: len(server.reports()) > 2)
    assert sum(len(one.body) for one in server.reports()[1:3]) <= 65_536, "no more than browsers let pages leave behind"
    server.answers.set()
    opened(server, page)
    server.wait(lambda: len(server.named("big")) == 70)


def test_an_event_left_in_the_last_moment_arrives(server: SdkServer, page: Any) -> None:
    opened(server, page)
    page.evaluate(
        """() => addEventListener('pagehide', () => AttriKit.track('left_by_pagehide'))
        || document.addEventListener('visibilitychange', () => AttriKit.track('left_by_visibility'))"""
    )
    page.goto("about:blank")
    server.wait(lambda: {"page_view", "left_by_pagehide", "left_by_visibility"} == set(names(server)))


def test_offline_nothing_is_lost_and_back_online_it_goes_at_once(server: SdkServer, page: Any, context: Any) -> None:
    opened(server, page, "batchTimeout:50")
    server.wait(lambda: server.events)
    context.set_offline(True)
    page.evaluate("() => { AttriKit.track('one'); AttriKit.track('two'); return AttriKit.flush() }")
    assert names(server) == ["page_view"]
    context.set_offline(False)
    server.wait(lambda: names(server) == ["page_view", "one", "two"])


def test_a_crash_between_sending_and_the_answer_makes_no_second_event(server: SdkServer, page: Any) -> None:
    server.faults.append(Fault(0, is_stored=True))
    opened(server, page, "batchSize:1")
    server.wait(lambda: len(server.sent) == 1)
    page.reload()
    server.wait(lambda: len(server.events) == 2)
    assert len(server.sent) > len(set(server.sent)) == 2


def test_a_batch_refused_whole_is_halved_down_to_the_bad_event(server: SdkServer, page: Any) -> None:
    server.is_bad = lambda event: event["event_name"] == "bad"
    opened(server, page, "autoTrack:false,batchSize:100")
    page.evaluate(
        "() => { for (let i = 0; i < 11; i++) AttriKit.track(i == 6 ? 'bad' : 'good_' + i); return AttriKit.flush() }"
    )
    assert names(server) == [f"good_{i}" for i in range(11) if i != 6]
    (error,) = page.evaluate("errors")
    assert (error["type"], error["status"]) == ("rejected", 400)


def test_an_event_refused_for_itself_is_told_and_forgotten(server: SdkServer, page: Any) -> None:
    opened(server, page, "autoTrack:false")
    page.evaluate("() => { AttriKit.track('Bad-Name'); AttriKit.track('good'); return AttriKit.flush() }")
    assert names(server) == ["good"]
    (error,) = page.evaluate("errors")
    assert (error["type"], error["code"]) == ("rejected", "INVALID_EVENT_NAME")
    assert error["eventId"] == server.sent[0]
    assert page.evaluate("Object.keys(localStorage).filter(k => k.includes('.q.'))") == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_page_stops_and_says_so(server: SdkServer, page: Any, status: int) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    server.faults.append(Fault(status, body=json.dumps({"error": {"code": "FORBIDDEN", "message": "not this page"}})))
    opened(server, page, "batchSize:1")
    server.wait(lambda: page.evaluate("errors.length"))
    page.evaluate("() => { AttriKit.track('more'); return AttriKit.flush() }")
    assert len(server.reports()) == 1
    assert page.evaluate("errors") == [
        {"type": "unauthorized", "status": status, "code": "FORBIDDEN", "message": "not this page"}
    ]
    assert "[AttriKit] unauthorized: not this page (FORBIDDEN)" in said
    page.reload()
    server.wait(lambda: names(server) == ["page_view", "more", "page_view"])


def test_retry_after_is_obeyed_on_the_next_page_too(server: SdkServer, page: Any) -> None:
    server.faults.append(Fault(429, {"Retry-After": "2"}))
    opened(server, page, "batchSize:1")
    started = time.monotonic()
    page.wait_for_function("errors.length")
    page.reload()
    page.evaluate("AttriKit.flush()")
    server.wait(lambda: len(server.events) == 2)
    assert time.monotonic() - started > 1.5
    assert len(server.reports()) == 2


def test_a_200_without_results_is_no_answer(server: SdkServer, page: Any) -> None:
    server.faults.append(Fault(200, body="<html>a portal</html>"))
    opened(server, page, "batchSize:1")
    server.wait(lambda: names(server) == ["page_view"])
    assert [error["type"] for error in page.evaluate("errors")] == ["unreachable"]


# Tabs


@pytest.mark.parametrize("host", ["shop.test", "127.0.0.1"])
def test_tabs_share_a_visitor_and_send_each_event_once(server: SdkServer, context: Any, host: str) -> None:
    """With Web Locks (127.0.0.1 is a secure context) and without."""
    tabs = [context.new_page() for _ in range(3)]
    for number, tab in enumerate(tabs):
        opened(server, tab, "batchSize:3", host)
        assert tab.evaluate("!!navigator.locks") is (host == "127.0.0.1")
        tab.evaluate("n => { for (let i = 0; i < 5; i++) AttriKit.track('click_' + n + i) }", number)
    for tab in tabs:
        tab.evaluate("AttriKit.flush()")
    server.wait(lambda: len(server.events) == 18)
    assert len({event["anonymous_id"] for event in server.events}) == 1
    assert len(server.sent) == 18


def test_the_queue_of_a_tab_that_was_killed_is_taken_over_once(server: SdkServer, context: Any) -> None:
    server.is_down = True
    killed = opened(server, context.new_page(), "batchSize:1", "127.0.0.1")
    killed.evaluate("() => { for (let i = 0; i < 5; i++) AttriKit.track('click_' + i) }")
    with pytest.raises(Error, match="crash"):  # its process alone: the browser keeps others ready for new pages
        killed.goto("chrome://crash")
    heir = opened(server, context.new_page(), "batchTimeout:50", "127.0.0.1")
    heir.wait_for_function("errors.length")  # so nothing of the killed page is on its way any more
    server.is_down = False
    second = opened(server, context.new_page(), "batchTimeout:50", "127.0.0.1")
    server.wait(lambda: len(server.events) == 8)
    second.evaluate("AttriKit.flush()")
    assert [event["event_name"] for event in server.events if event["event_name"] != "page_view"] == [
        f"click_{i}" for i in range(5)
    ]
    assert len(server.sent) == 8
    assert heir.evaluate("Object.keys(localStorage).filter(k => k.includes('.q.'))") == []


# Storage


def test_a_sandboxed_frame_whose_storage_throws_delivers(server: SdkServer, page: Any) -> None:
    server.pages["/frame"] = server.page("batchSize:1")
    server.pages["/"] = "<iframe sandbox='allow-scripts' src='/frame'></iframe>"
    page.goto(server.url("shop.test"))
    frame = server.wait(lambda: next((one for one in page.frames if one.url.endswith("/frame")), None))
    for storage in ("localStorage", "document.cookie"):
        assert frame.evaluate(f"() => {{ try {{ {storage} }} catch (e) {{ return e.name }} }}") == "SecurityError"
    frame.evaluate("AttriKit.track('framed')")
    server.wait(lambda: names(server) == ["page_view", "framed"])
    assert frame.evaluate("errors") == []


def test_a_full_storage_and_cookies_that_throw_do_not_stop_delivery(server: SdkServer, context: Any, page: Any) -> None:
    context.add_init_script(
        """Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') };
        Object.defineProperty(document, 'cookie', {get() { throw Error('off') }, set() { throw Error('off') }})"""
    )
    opened(server, page)
    page.evaluate("() => { AttriKit.track('kept'); return AttriKit.flush() }")
    assert names(server) == ["page_view", "kept"]
    assert len({event["anonymous_id"] for event in server.events}) == 1


def test_a_storage_that_the_page_clears_loses_nothing(server: SdkServer, page: Any) -> None:
    opened(server, page)
    page.evaluate("() => { AttriKit.track('kept'); localStorage.clear(); return AttriKit.flush() }")
    assert names(server) == ["page_view", "kept"]
