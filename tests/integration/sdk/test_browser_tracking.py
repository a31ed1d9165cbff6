"""What the browser SDK tracks in Chromium: visitors, consent, pages, attribution context, and the calls."""

import time
from typing import Any

import pytest
from sdk_pages import names, opened, urls, urls_by_time
from sdk_server import SdkServer

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
    server.wait(lambda: urls_by_time(server) == ["/", "/?a=1#x"])
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


def test_an_answer_that_comes_after_consent_was_denied_leaves_nothing(
    server: SdkServer, context: Any, page: Any
) -> None:
    server.answers.clear()
    opened(server, page)
    server.wait(lambda: [one for one in server.seen if one.path.startswith("/v1/visitor")])
    page.evaluate("AttriKit.consent('denied')")
    with page.expect_response("**/v1/visitor*"):
        server.answers.set()
    page.wait_for_function("!document.cookie.includes('attrikit_vid')")
    assert traces(page, context) == ["consent"]


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
    server.wait(lambda: urls_by_time(server) == ["/", "/other", "/"])
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
    assert urls_by_time(server)[-2:] == ["/?utm_source=baidu&bd_vid=b-1", "/"], "a reload is no new click"


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
