"""The browser SDK in Chromium, against a small server that stands for site and gateway."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import chromium
from playwright.sync_api import Error
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
def server(running: SdkServer) -> Iterator[SdkServer]:
    running.reset()
    yield running
    assert [one.path for one in running.seen if one.method == "OPTIONS"] == [], "no preflight, ever"


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


def opened(
    server: SdkServer, page: Any, options: str = "", host: str = "shop.test", path: str = "/", **page_: Any
) -> Any:
    """The page with the SDK, started with these options of `init`."""
    server.pages[path.partition("?")[0]] = server.page(
        options + ",endpoint:'" + server.url("events.shop.test")[:-1] + "'", **page_
    )
    page.goto(server.url(host, path))
    return page


def names(server: SdkServer) -> list[str]:
    return [event["event_name"] for event in server.events]


def urls(server: SdkServer) -> list[str]:
    return [event["context"]["page"]["url"].partition(str(server.port))[2] for event in server.named("page_view")]


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
    opened(server, page, "batchSize:1000,batchTimeout:50")
    server.wait(lambda: server.events)
    server.pages["/next"] = "<title>next</title>"
    page.evaluate(
        "() => { for (let i = 0; i < 70; i++) AttriKit.track('big', {text: 'x'.repeat(1000)}); location = '/next' }"
    )
    page.wait_for_url("**/next")
    server.wait(lambda: len(server.named("big")) > 30)
    assert sum(len(one.body) for one in server.reports()[1:3]) <= 65_536, "no more than browsers let pages leave behind"
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


def _new_page(context: Any) -> Any | None:
    """A new page; None where the browser gave it one of the processes that were just killed."""
    try:
        return context.new_page()
    except Error:
        return None


def test_the_queue_of_a_tab_that_was_killed_is_taken_over_once(server: SdkServer, context: Any) -> None:
    server.is_down = True
    killed = opened(server, context.new_page(), "batchSize:1", "127.0.0.1")
    killed.evaluate("() => { for (let i = 0; i < 5; i++) AttriKit.track('click_' + i) }")
    processes = context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    crashes: list[Any] = []
    killed.on("crash", lambda crashed: crashes.append(crashed))
    for process in processes:
        if process["type"] == "renderer":
            os.kill(process["id"], signal.SIGKILL)
    server.wait(lambda: [context.cookies(), crashes][1])
    heir = server.wait(lambda: _new_page(context))
    server.is_down = False
    opened(server, heir, "batchTimeout:50", "127.0.0.1")
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


# Identity


def cookie_of(context: Any) -> Any:
    return next((one for one in context.cookies() if one["name"] == "attrikit_vid"), None)


def test_the_visitor_is_a_cookie_of_the_widest_domain_for_400_days(server: SdkServer, context: Any, page: Any) -> None:
    opened(server, page, "batchSize:1", "www.shop.test")
    (event,) = server.wait(lambda: server.events)
    cookie = cookie_of(context)
    assert (cookie["value"], cookie["domain"]) == (event["anonymous_id"], ".shop.test")
    assert abs(cookie["expires"] - time.time() - 400 * 86_400) < 60
    page.evaluate(
        "Object.keys(localStorage).forEach(k => k.endsWith('.visitor') && (localStorage[k] = 'v_stale_stale'))"
    )
    page.evaluate("AttriKit.track('here')")
    opened(server, page, "batchSize:1", "m.eu.shop.test")
    server.wait(lambda: len(server.events) == 3)
    assert len({event["anonymous_id"] for event in server.events}) == 1, "a hop, and a mirror that is stale"


def test_the_gateway_sets_the_cookie_on_its_own_site_alone(server: SdkServer, context: Any, page: Any) -> None:
    opened(server, page)
    asked = server.wait(lambda: [one for one in server.seen if one.path.startswith("/v1/visitor?app_id=shop")])
    assert f"attrikit_vid={cookie_of(context)['value']}" in asked[0].headers["cookie"]
    page.wait_for_function("localStorage['attrikit.shop.asked']")
    page.reload()
    opened(server, page, host="other.test")
    page.evaluate("AttriKit.flush()")
    assert len([one for one in server.seen if one.path.startswith("/v1/visitor")]) == 1
    assert all("cookie" not in one.headers for one in server.reports())


def test_a_link_to_another_domain_keeps_the_visitor_for_two_minutes(server: SdkServer, context: Any, page: Any) -> None:
    opened(server, page)
    visitor = page.evaluate("AttriKit.getVisitorId()")
    link = page.evaluate("u => AttriKit.linkUrl(u)", server.url("other.test", "/?a=1#x"))
    opened(server, page, host="other.test", path=link.partition(str(server.port))[2])
    assert page.evaluate("AttriKit.getVisitorId()") == visitor
    assert page.url == server.url("other.test", "/?a=1#x")
    page.evaluate("AttriKit.flush()")
    assert urls(server) == ["/", "/?a=1#x"]
    context.add_init_script("{ const now = Date.now; Date.now = () => now() + 121000 }")
    opened(server, page, host="third.test", path=link.partition(str(server.port))[2])
    assert page.evaluate("AttriKit.getVisitorId()") != visitor


def test_identify_sends_both_ids_once_and_reset_forgets_them(server: SdkServer, page: Any) -> None:
    opened(server, page, "userId:'u_1',userTraits:{plan:'pro'}")
    page.evaluate(
        "() => { AttriKit.identify('u_1', {plan: 'pro'}); AttriKit.track('a'); AttriKit.reset(); AttriKit.track('b') }"
    )
    page.evaluate("AttriKit.flush()")
    assert names(server) == ["identify", "page_view", "a", "b"]
    identified, view, a, b = server.events
    assert identified["properties"]["plan"] == "pro"
    assert (identified["user_id"], identified["anonymous_id"]) == ("u_1", a["anonymous_id"])
    assert view["user_id"] == a["user_id"] == "u_1"
    assert "user_id" not in b
    assert b["anonymous_id"] != a["anonymous_id"]


# Consent


def traces(page: Any, context: Any) -> list[str]:
    kept = page.evaluate("Object.keys(localStorage)")
    return sorted(name.removeprefix("attrikit.shop.") for name in kept) + [one["name"] for one in context.cookies()]


def test_pending_consent_sends_and_stores_nothing_and_granted_goes_on(
    server: SdkServer, context: Any, page: Any
) -> None:
    opened(server, page, "consent:'pending',batchSize:1", path="/?gclid=g-1")
    visitor = page.evaluate("AttriKit.getVisitorId()")
    page.evaluate("() => { history.replaceState(null, '', '/'); AttriKit.track('click'); return AttriKit.flush() }")
    assert (server.reports(), traces(page, context)) == ([], [])
    page.evaluate("AttriKit.consent('granted')")
    server.wait(lambda: names(server) == ["page_view", "click"])
    assert urls(server) == ["/?gclid=g-1"]
    assert {event["anonymous_id"] for event in server.events} == {visitor} == {cookie_of(context)["value"]}
    assert server.events[1]["properties"]["last_touch"]["gclid"] == "g-1"


def test_consent_that_comes_a_page_late_keeps_the_landing(server: SdkServer, context: Any, page: Any) -> None:
    opened(server, page, "consent:'pending'", path="/?gclid=g-1&token=t")
    page.evaluate("location.href = '/second'")
    server.pages["/second"] = server.pages["/"]
    page.wait_for_url("**/second")
    page.evaluate("() => { AttriKit.consent('granted'); return AttriKit.flush() }")
    server.wait(lambda: urls(server) == ["/?gclid=g-1", "/second"])


def test_denied_consent_clears_everything_and_lasts(server: SdkServer, context: Any, page: Any) -> None:
    opened(server, page, "batchSize:1")
    server.wait(lambda: names(server) == ["page_view"])
    page.evaluate("() => { AttriKit.consent('denied'); AttriKit.track('gone') }")
    assert traces(page, context) == ["consent"]
    page.reload()
    page.evaluate("() => { AttriKit.track('gone'); return AttriKit.flush() }")
    assert (names(server), traces(page, context)) == (["page_view"], ["consent"])
    assert page.evaluate("AttriKit.getVisitorId()") == ""
    page.evaluate("() => { AttriKit.consent('granted'); return AttriKit.flush() }")
    server.wait(lambda: names(server) == ["page_view", "page_view"])


@pytest.mark.parametrize(("option", "views"), [("", 0), ("ignoreGpc:true", 1)])
def test_global_privacy_control_counts_as_denied(
    server: SdkServer, context: Any, page: Any, option: str, views: int
) -> None:
    context.add_init_script("Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})")
    opened(server, page, option)
    page.evaluate("AttriKit.flush()")
    assert len(server.events) == views
    assert (cookie_of(context) is None) is (views == 0)


# Pages


def test_routes_count_once_and_routers_work_as_before(server: SdkServer, page: Any) -> None:
    router = """<script>const native = history.pushState; var calls = [];
      history.pushState = function(state, title, url) { calls.push([this === history, arguments.length]);
        const made = native.apply(this, arguments); document.title = url; return made }</script>"""
    opened(server, page, "viewParameters:['tab']", head=router)
    go = """async steps => { for (const [how, url] of steps) {
        how === 'hash' ? location.hash = url : history[how]({}, '', url);
        await new Promise(resolve => setTimeout(resolve, 10)) } }"""
    page.evaluate(
        go,
        [
            ["pushState", "/a"],
            ["replaceState", "/a?sort=up"],  # the same view
            ["pushState", "/a?tab=2"],
            ["hash", "section"],  # a place in it
            ["hash", "#/cart"],
            ["replaceState", "/b"],
        ],
    )
    page.evaluate("history.back()")
    page.wait_for_function("location.pathname === '/a'")
    page.wait_for_timeout(30)
    page.evaluate("AttriKit.flush()")
    server.wait(lambda: len(urls(server)) == 6)
    assert urls(server) == ["/", "/a", "/a?tab=2", "/a?tab=2#/cart", "/b", "/a?tab=2#section"]
    assert page.evaluate("calls") == [[True, 3], [True, 3]]
    second = server.named("page_view")[1]["context"]["page"]
    assert (second["title"], second["referrer"]) == ("/a", server.url("shop.test"))


def test_back_to_a_page_in_the_cache_is_a_view_and_the_cache_stays_enabled(server: SdkServer, page: Any) -> None:
    opened(server, page, host="127.0.0.1")
    page.evaluate("window.mark = 7")
    opened(server, page, host="127.0.0.1", path="/other")
    page.evaluate("setTimeout(() => history.back(), 0)")
    page.wait_for_url(server.url(), wait_until="commit")
    page.wait_for_function("window.mark === 7")
    server.wait(lambda: urls(server)[:3] == ["/", "/other", "/"])
    page.evaluate("() => { AttriKit.track('after'); return AttriKit.flush() }")
    assert names(server)[-1] == "after"
    assert len(server.events) == 4


def test_a_page_rendered_ahead_counts_when_it_is_shown(server: SdkServer, context: Any, page: Any) -> None:
    context.add_init_script("var ahead = true; Object.defineProperty(document, 'prerendering', {get: () => ahead})")
    opened(server, page, "batchSize:1")
    page.evaluate("AttriKit.track('waits')")
    assert (server.reports(), traces(page, context)) == ([], [])
    page.evaluate("() => { ahead = false; document.dispatchEvent(new Event('prerenderingchange')) }")
    server.wait(lambda: names(server) == ["page_view", "waits"])


def test_a_strict_policy_needs_the_endpoint_alone(server: SdkServer, page: Any) -> None:
    endpoint = server.url("events.shop.test")[:-1]
    server.page_headers = {
        "Content-Security-Policy": f"default-src 'none'; script-src {endpoint} 'nonce-n'; connect-src {endpoint}"
    }
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    server.pages["/"] = server.page(endpoint_host="events.shop.test").replace("<script", "<script nonce='n'")
    page.goto(server.url("shop.test"))
    page.evaluate("() => { AttriKit.track('click'); return AttriKit.flush() }")
    page.goto("about:blank")
    assert (names(server), said) == (["page_view", "click"], [])


# Attribution context


def test_a_click_id_of_the_first_address_is_on_a_conversion_three_views_later(server: SdkServer, page: Any) -> None:
    opened(server, page, path="/?utm_source=baidu&bd_vid=b-1")
    for route in ("/a", "/b", "/c"):
        page.evaluate("url => history.pushState({}, '', url)", route)
        page.wait_for_timeout(10)
    page.evaluate("() => { AttriKit.track('purchase', {order_id: 'o-1', revenue: 5}); return AttriKit.flush() }")
    (purchase,) = server.wait(lambda: server.named("purchase"))
    assert urls(server) == ["/?utm_source=baidu&bd_vid=b-1", "/a", "/b", "/c"]
    for touch in ("first_touch", "last_touch"):
        found = purchase["properties"][touch]
        assert (found["bd_vid"], found["utm_source"]) == ("b-1", "baidu")
        assert found["page_url"] == server.url("shop.test", "/?utm_source=baidu&bd_vid=b-1")
    page.reload()
    opened(server, page, path="/?utm_source=baidu&bd_vid=b-1")
    page.reload()
    page.evaluate("AttriKit.flush()")
    server.wait(lambda: len(urls(server)) == 7)
    assert urls(server)[-2:] == ["/?utm_source=baidu&bd_vid=b-1", "/"], "a reload is no new click"


def test_secrets_in_addresses_never_leave_the_page(server: SdkServer, page: Any) -> None:
    opened(
        server,
        page,
        "denyParameters:['Voucher-Code']",
        path="/?id=7&token=s3cret&voucherCode=s3cret&user[email]=s3cret&next=%2Fa%3Fpassword%3Ds3cret#/r?otp=s3cret",
    )
    page.evaluate("AttriKit.track('click', {href: 'https://x.test/?jwt=s3cret&ok=1', nested: [{u: '/?pwd=s3cret'}]})")
    page.evaluate("AttriKit.flush()")
    assert all("s3cret" not in one.body for one in server.reports())
    assert urls(server) == ["/?id=7&next=%2Fa%3F#/r"]
    assert server.events[1]["properties"]["href"] == "https://x.test/?ok=1"


# Calls


def test_calls_never_throw_and_two_inits_are_one_tracker(server: SdkServer, page: Any) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    opened(
        server, page, "beforeSend:function(e){ if (e.event_name === 'out') return null; e.properties.x = 1; return e }"
    )
    page.evaluate(
        """() => { AttriKit('nothing'); AttriKit.track(); AttriKit.track('ring', (o => o.o = o)({}));
        AttriKit.track('late', {}, {timestamp: 'never'}); AttriKit('consent', 'maybe');
        AttriKit.init({appId: 'other'}); AttriKit.track('out');
        AttriKit('track', 'in', {a: 1}, {eventId: 'e-1', timestamp: '2026-01-02T03:04:05Z'}) }"""
    )
    page.evaluate("AttriKit.flush()")
    assert names(server) == ["page_view", "in"]
    event = server.events[1]
    assert (event["event_id"], event["timestamp"], event["properties"]["x"]) == ("e-1", "2026-01-02T03:04:05.000Z", 1)
    assert [error["type"] for error in page.evaluate("errors")] == ["invalid"] * 6
    assert "[AttriKit] invalid: init was called already; this call changes nothing" in said
    assert page.evaluate("Object.keys(window).filter(name => /attri|ak_/i.test(name))") == ["AttriKit"]


def test_half_an_emoji_costs_no_event(server: SdkServer, page: Any) -> None:
    opened(server, page)
    page.evaluate(
        r"() => { AttriKit.track('cut', {text: '\ud83d!', whole: '😀', nul: 'a\0b'}); return AttriKit.flush() }"
    )
    assert server.events[1]["properties"]["text"] == "\ufffd!"
    assert server.events[1]["properties"]["whole"] == "😀"
